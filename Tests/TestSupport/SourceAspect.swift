// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Synchronization

/// The demands of `BlockSource`, one by one, for every source there is.
public enum SourceAspect: String, Sendable, CaseIterable {
    case properties, sectors, oddRanges, end, beyondEnd, nothing, threads, extents

    /// Returns what `source` does wrong, given what it must read as; empty when it is all right.
    public func violations(
        of source: any BlockSource, content: [UInt8], sectorSize: Int
    ) throws -> [String] {
        let subject = Subject(source: source, content: content, sectorSize: sectorSize)
        switch self {
        case .properties: return subject.properties()
        case .sectors:
            return try [0, 4096, 1 << 20].flatMap { offset in
                try [512, 4096, 65536, 1 << 19].flatMap { try subject.reading(offset, $0) }
            }
        case .oddRanges: return try subject.oddRanges()
        case .end:
            return try [1, 3, 511, 512, 515, 4096, 4099, 131_072].flatMap {
                try subject.reading(content.count - $0, $0)
            }
        case .beyondEnd: return subject.beyondEnd()
        case .nothing:
            let buffer = AlignedBuffer(count: 1)
            var problems: [String] = []
            for offset in [0, 1, subject.length - 1, subject.length] {
                try source.read(into: buffer.prefix(0), at: offset)
                if try !source.bytes(at: offset, count: 0).isEmpty { problems.append("bytes from nothing") }
            }
            return problems
        case .threads: return try subject.threads()
        case .extents: return try subject.extents()
        }
    }
}

/// A source and what it must read as.
private struct Subject: Sendable {
    let source: any BlockSource
    let content: [UInt8]
    let sectorSize: Int

    var length: Int64 { Int64(content.count) }

    /// Reads `count` bytes at `offset` into memory that is aligned or just not, and tells what is wrong with them.
    func reading(_ offset: Int, _ count: Int, misaligned: Bool = false) throws -> [String] {
        let buffer = AlignedBuffer(count: count + 8)
        let part = buffer.bytes.part(misaligned ? 1 : 0, count)
        try source.read(into: part, at: Int64(offset))
        let isRight = content.withUnsafeBytes { $0.part(offset, count).elementsEqual(part) }
        return isRight ? [] : ["\(count) bytes at \(offset) are not the content"]
    }

    func properties() -> [String] {
        let facts: [(String, Bool)] = [
            ("lengthInBytes", source.lengthInBytes == length),
            ("logicalSectorSize", source.logicalSectorSize == sectorSize),
            ("physicalSectorSize", source.physicalSectorSize >= sectorSize), ("name", !source.name.isEmpty),
        ]
        return facts.filter { !$0.1 }.map { "\($0.0) is wrong" }
    }

    func oddRanges() throws -> [String] {
        var problems: [String] = []
        for offset in [0, 1, 511, 512, 513, 4095, 4097, 65535, 1_048_575] {
            for count in [1, 2, 511, 512, 513, 4097, 70_001] { problems += try reading(offset, count) }
        }
        var generator = SeededGenerator(seed: 7)
        for round in 0..<40 {
            let offset = Int.random(in: 0..<content.count - 100_000, using: &generator)
            let count = Int.random(in: 1...100_000, using: &generator)
            problems += try reading(offset, count, misaligned: round % 2 == 0)
        }
        return problems
    }

    func beyondEnd() -> [String] {
        let ranges: [(Int64, Int)] = [
            (length, 1), (length - 1, 2), (length - 511, 512), (length + 1, 0), (length + 4096, 512), (-1, 1), (-1, 0),
            (.min, 1), (.max, 1), (.max, 512), (0, Int(length) + 1),
        ]
        let buffer = AlignedBuffer(count: Int(length) + 1)
        return ranges.compactMap { offset, count in
            do throws(BlockError) {
                try source.read(into: buffer.prefix(count), at: offset)
                return "\(count) bytes at \(offset) are read"
            } catch {
                let isRight = error.cause == .unexpectedEnd && error.offset == offset && error.length == count
                return isRight ? nil : "\(count) bytes at \(offset): \(error)"
            }
        }
    }

    func threads() throws -> [String] {
        let problems = Mutex<[String]>([])
        try ParallelWork.run(threads: 8) { thread in
            var generator = SeededGenerator(seed: UInt64(thread))
            for _ in 0..<20 {
                let offset = Int.random(in: 0..<content.count, using: &generator)
                let count = Int.random(in: 1...min(100_000, content.count - offset), using: &generator)
                do {
                    let found = try reading(offset, count)
                    problems.withLock { $0 += found }
                } catch {
                    problems.withLock { $0.append("\(error)") }
                }
            }
        }
        return problems.withLock { $0 }
    }

    func extents() throws -> [String] {
        var problems: [String] = []
        var position: Int64 = 0
        while position < length {
            let extent = try source.extent(at: position)
            guard extent.offset == position, extent.length > 0, extent.end <= length else {
                return problems + ["\(extent) at \(position)"]
            }
            if extent.kind == .unreadable { problems.append("\(extent)") }
            if extent.kind == .hole {
                let isZero = content.withUnsafeBytes { $0.part(Int(position), Int(extent.length)).isAllZero }
                if !isZero { problems.append("content in \(extent)") }
            }
            position = extent.end
        }
        // In the middle of things, an extent begins where it is asked for.
        for offset in [1, 511, 513, 100_001, length - 1] {
            let extent = try source.extent(at: offset)
            if extent.offset != offset || extent.length <= 0 || extent.end > length {
                problems.append("\(extent) at \(offset)")
            }
        }
        return problems
    }
}
