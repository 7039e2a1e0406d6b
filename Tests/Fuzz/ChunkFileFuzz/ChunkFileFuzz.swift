// SPDX-License-Identifier: GPL-3.0-or-later

internal import CZlib
internal import CloneFormat

/// Reads the input as a chunk file: as it is, with a header whose checksum is right, and of the length it promises.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    var bytes = Array(UnsafeBufferPointer(start: data, count: size))
    read(bytes, fileLength: Int64(size))
    guard size >= ChunkFileHeader.byteCount else { return 0 }
    withUnsafeBytes(of: UInt32(truncatingIfNeeded: crc32(0, bytes, 124)).littleEndian) {
        bytes.replaceSubrange(124..<128, with: $0)
    }
    read(bytes, fileLength: Int64(size))
    // Most mutations contradict the file's length: this is the length they promise, as far as it can be told.
    if let (length, data, lost) = claims(bytes) {
        let map = Int64(ChunkFileHeader.mapLength(diskLength: length))
        let file = Int64(ChunkFileHeader.byteCount) + map + (data + lost) * Int64(Digest.byteCount)
        read(bytes, fileLength: file)
    }
    return 0
}

/// Returns disk length and counts as the header has them, when they are in bounds at all.
private func claims(_ bytes: [UInt8]) -> (length: Int64, data: Int64, lost: Int64)? {
    func field(_ offset: Int) -> UInt64 {
        bytes[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    let values = [32, 48, 56].map(field)
    guard values.allSatisfy({ $0 <= UInt64(ChunkFileHeader.maximumDiskLength) }) else { return nil }
    return (Int64(values[0]), Int64(values[1]), Int64(values[2]))
}

private func read(_ bytes: [UInt8], fileLength: Int64) {
    guard let header = try? ChunkFileHeader(decoding: bytes, fileLength: fileLength, file: "input") else { return }
    precondition(header.fileLength == fileLength, "a header that contradicts the file's length was accepted")
    let again = try? ChunkFileHeader(decoding: header.encoded(), fileLength: fileLength, file: "again")
    precondition(again == header, "writing and reading changed the header")

    let mapEnd = ChunkFileHeader.byteCount + header.mapLength
    guard mapEnd <= bytes.count else { return }
    let stored = Array(bytes[ChunkFileHeader.byteCount..<mapEnd])
    guard var map = try? ChunkMap(decoding: stored, header: header, file: "input") else { return }
    precondition(map.totals == (header.dataChunks, header.lostChunks), "totals changed")

    // A long map is walked in part only, its content digest left out: the fuzzer wants many short runs.
    var content = ContentDigest(diskLength: header.diskLength)
    var next = 0
    var found = 0
    while next < min(map.count, 1 << 14), let chunk = map.firstNonZero(from: next) {
        precondition(chunk >= next && chunk < map.count && map[chunk] != .zero, "not the next chunk that is not zero")
        if map.count < 1 << 14 {
            content.appendZeros(upTo: chunk)
            content.append(header.contentDigest, lost: map[chunk] == .lost)
        }
        found += 1
        next = chunk + 1
    }
    guard map.count < 1 << 14 else { return }
    _ = content.finish()
    precondition(found == header.dataChunks + header.lostChunks, "a chunk was passed over")
    for chunk in 0..<map.count {
        let state = map[chunk]
        map[chunk] = .lost
        map[chunk] = state
    }
    precondition(map.bytes == stored, "writing states changed the map")
}
