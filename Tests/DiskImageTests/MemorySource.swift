// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Bytes in memory as a source.
struct MemorySource: BlockSource {
    let content: [UInt8]
    var name: String { "memory" }
    var lengthInBytes: Int64 { Int64(content.count) }
    var logicalSectorSize: Int { 512 }
    var physicalSectorSize: Int { 512 }

    init(_ content: [UInt8]) { self.content = content }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        content.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + buffer.count]))
        }
    }
}
