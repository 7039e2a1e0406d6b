// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import Glibc
internal import TestSupport
internal import Testing

/// Volumes that lie of their free space, or are damaged.
enum SpaceLies {
    /// How many times more than usual is damaged: COLDCLONE_FLIPS, for a long run.
    static let factor = getenv("COLDCLONE_FLIPS").flatMap { Int(String(cString: $0)) } ?? 1

    /// Returns what `volume` says of its space, nil when it is an error.
    static func use(
        _ volume: MemoryVolume, _ type: String, isChecked: Bool = true
    ) -> SpaceUse? {
        guard let reader = try? FileSystemKind.open(volume, type: type) else { return nil }
        return try? reader.spaceUse(SpaceOptions(isChecked: isChecked))
    }

    /// Tells whether `free` calls something free that `truth` does not.
    static func isWrong(_ free: FreeRuns, truth: FreeRuns) -> Bool {
        var position: Int64 = 0
        for range in truth.ranges {
            if free.overlaps(position..<range.lowerBound) { return true }
            position = range.upperBound
        }
        return free.overlaps(position..<Int64.max)
    }

    /// Damages one byte at a time at `count` places of `ranges`: an error, or nothing used is called free.
    ///
    /// - Returns: how often it was no error.
    @discardableResult
    static func flip(
        _ content: [UInt8], in ranges: [Range<Int>], count: Int, seed: UInt64, type: String
    ) throws -> Int {
        var generator = SeededGenerator(seed: seed)
        var volume = MemoryVolume(content)
        let truth = try #require(use(volume, type)).free
        var passed = 0
        for _ in 0..<count * factor {
            guard let range = ranges.randomElement(using: &generator),
                let place = range.clamped(to: 0..<content.count).randomElement(using: &generator)
            else { continue }
            let value = volume.content[place]
            switch generator.next() % 4 {
            case 0: volume.content[place] ^= 1 << UInt8(generator.next() % 8)
            case 1: volume.content[place] = 0xff
            case 2: volume.content[place] = 0
            default: volume.content[place] = UInt8(truncatingIfNeeded: generator.next())
            }
            if let use = use(volume, type) {
                passed += 1
                let change = "seed \(seed), byte \(place): \(value) -> \(volume.content[place])"
                #expect(!isWrong(use.free, truth: truth), "\(change)")
            }
            volume.content[place] = value
        }
        return passed
    }

    /// Cuts the volume short in many places: an error, or nothing used is called free.
    static func truncate(_ content: [UInt8], type: String) throws {
        let truth = try #require(use(MemoryVolume(content), type)).free
        for length in [0, 1, 511, 512, 4096, 65536, 1 << 20, content.count / 2, content.count - 512] {
            guard let use = use(MemoryVolume(Array(content.prefix(length))), type) else { continue }
            #expect(!isWrong(use.free, truth: truth), "\(length)")
        }
    }
}
