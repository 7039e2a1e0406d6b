// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskImage

/// Drives a writer by hand, a unit after the other.
enum ImageMaker {
    /// Writes `content` as a qcow2 image to `path`.
    @discardableResult
    static func write(_ content: [UInt8], to path: String, _ options: Qcow2Writer.Options) throws -> ImageSummary {
        let sink = try FileSink(creating: path)
        return try write(content, Qcow2Writer(sink, diskLength: Int64(content.count), options: options))
    }

    /// Writes `content` by `writer`, placing in order and writing in the opposite one.
    @discardableResult
    static func write(_ content: [UInt8], _ writer: any ImageWriter) throws -> ImageSummary {
        var units: [ImageUnit] = []
        for offset in stride(from: 0, to: content.count, by: writer.unitLength) {
            let unit = try writer.makeUnit()
            unit.offset = Int64(offset)
            unit.count = min(writer.unitLength, content.count - offset)
            content[offset..<offset + unit.count].withUnsafeBytes { unit.content.bytes.copyMemory(from: $0) }
            try writer.prepare(unit)
            try writer.place(unit)
            units.append(unit)
        }
        for unit in units.reversed() { try writer.write(unit) }
        return try writer.finish()
    }
}
