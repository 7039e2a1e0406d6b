// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import TestSupport

/// What a capture makes of a volume: a copy with zeros where the file system says that nothing lies.
enum Skipping {
    /// Reads the free space of the image `volume`, and writes to `copy` what a capture would.
    static func copy(
        _ volume: String, to copy: String, _ options: SpaceOptions = SpaceOptions()
    ) throws -> SpaceUse {
        let source = try FileSource(volume)
        guard let reader = try FileSystemKind.open(source) else { throw ToolError("\(volume) has no file system") }
        let use = try reader.spaceUse(options)
        try write(source, without: use.free, to: copy)
        return use
    }

    /// Writes `source` to `copy`, zeros instead of what lies in `free`.
    static func write(_ source: some BlockSource, without free: FreeRuns, to copy: String) throws {
        let sink = try FileSink(creating: copy)
        try sink.setLength(source.lengthInBytes)
        let buffer = AlignedBuffer(count: 1 << 20)
        var position: Int64 = 0
        for gap in free.ranges + [source.lengthInBytes..<source.lengthInBytes] {
            while position < gap.lowerBound {
                let part = buffer.prefix(Int(min(gap.lowerBound - position, 1 << 20)))
                try source.read(into: part, at: position)
                try sink.write(UnsafeRawBufferPointer(part), at: position)
                position += Int64(part.count)
            }
            position = gap.upperBound
        }
    }
}
