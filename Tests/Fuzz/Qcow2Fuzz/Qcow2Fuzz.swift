// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskImage

/// The image file in memory.
struct MemorySource: BlockSource {
    let content: UnsafeRawBufferPointer
    var name: String { "input" }
    var lengthInBytes: Int64 { Int64(content.count) }
    var logicalSectorSize: Int { 512 }
    var physicalSectorSize: Int { 512 }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        if !buffer.isEmpty { buffer.copyMemory(from: content.part(Int(offset), buffer.count)) }
    }
}

// The bytes live, and nobody changes them, until the fuzzer's call returns.
extension MemorySource: @unchecked Sendable {}

/// Opens the input as a qcow2 image, reads it here and there, walks its extents and checks its structure.
///
/// Errors are right for such images. A trap, an access beyond a buffer, or a walk without end is a finding; so is a
/// reader that contradicts itself, which ends in a failed precondition.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let source = MemorySource(content: UnsafeRawBufferPointer(start: data, count: size))
    guard let reader = try? DiskImage.open(source, format: .qcow2) else { return 0 }
    var random = Random(state: UInt64(size))
    readPieces(reader, &random)
    walkExtents(reader)
    var problems = 0
    try? reader.checkStructure { problem in
        problems += 1
        precondition(problem.description.utf8.count < 4096, "a problem needs no essay")
        return problems < 1000
    }
    return 0
}

/// Reads the first 4 MiB in pieces of changing length, and the end, and pieces all over the disk.
private func readPieces(_ reader: any ImageReader, _ random: inout Random) {
    let length = reader.lengthInBytes
    let buffer = AlignedBuffer(count: 1 << 20)
    var position: Int64 = 0
    while position < min(length, 4 << 20) {
        let count = Int(min(Int64(random.next(below: 1 << 20) + 1), length - position))
        try? reader.read(into: buffer.prefix(count), at: position)
        position += Int64(count)
    }
    for _ in 0..<16 where length > 0 {
        let offset = Int64(random.next(below: UInt64(length)))
        let count = Int(min(Int64(random.next(below: 70_000) + 1), length - offset))
        try? reader.read(into: buffer.prefix(count), at: offset)
        if let place = try? reader.clusterOffset(of: offset) { precondition(place >= 0, "a cluster before the file") }
    }
    precondition((try? reader.read(into: buffer.prefix(1), at: length)) == nil, "read behind the disk's end")
}

/// Walks the extents, which must follow each other within the disk; the first holes must read as zeros.
private func walkExtents(_ reader: any ImageReader) {
    let buffer = AlignedBuffer(count: 64 << 10)
    var position: Int64 = 0
    for _ in 0..<300 where position < reader.lengthInBytes {
        guard let extent = try? reader.extent(at: position) else { return }
        precondition(
            extent.offset == position && extent.length > 0 && extent.end <= reader.lengthInBytes,
            "an extent out of place")
        if extent.kind == .hole {
            let part = buffer.prefix(Int(min(extent.length, 64 << 10)))
            part[0] = 1
            precondition((try? reader.read(into: part, at: position)) != nil, "a hole that cannot be read")
            precondition(UnsafeRawBufferPointer(part).isAllZero, "a hole that is not zero")
        }
        position = extent.end
    }
}

/// Numbers that only the input decides on, so that a finding can be repeated.
///
/// xorshift64.
private struct Random {
    var state: UInt64

    init(state: UInt64) { self.state = state &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next(below bound: UInt64) -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state % bound
    }
}
