// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// Disks of which only some sectors are not zero, as Tests/Fuzz/pack-disks writes them: most bytes of an input matter.
///
/// ```
/// byte 0  disks, 8 bits         byte 4  sectors of 512 bytes a disk, 32 bits
/// byte 1  1 for 4096-byte sectors
/// then pieces: first sector 32 bits, sectors 16 bits, disk 8 bits, kind 8 bits: 0 content follows, else a fill byte
/// ```
/// All integers are little-endian.
public struct SparseDisks {
    struct Piece {
        var disk: Int
        var start: Int64
        var bytes: [UInt8]
        var fill: UInt8
        var length: Int64
    }

    /// Most disks and pieces that an input makes.
    private static let maximumDisks = 4, maximumPieces = 4096

    private let sectorSize: Int
    private let lengthInBytes: Int64
    var pieces: [Piece] = []
    private let count: Int

    /// Decodes the input; nil when it is too short.
    public init?(_ input: UnsafeRawBufferPointer) {
        guard input.count >= 8 else { return nil }
        count = Int(input[0]) % Self.maximumDisks + 1
        sectorSize = input[1] == 1 ? 4096 : 512
        lengthInBytes = Int64(UInt32(littleEndian: input.loadUnaligned(fromByteOffset: 4, as: UInt32.self))) * 512
        var place = 8
        while place + 8 <= input.count, pieces.count < Self.maximumPieces {
            let sector = UInt32(littleEndian: input.loadUnaligned(fromByteOffset: place, as: UInt32.self))
            let sectors = UInt16(littleEndian: input.loadUnaligned(fromByteOffset: place + 4, as: UInt16.self))
            let disk = Int(input[place + 6]) % count
            let kind = input[place + 7]
            place += 8
            let length = kind == 0 ? min(Int(sectors) * 512, input.count - place) : Int(sectors) * 512
            let bytes = kind == 0 ? Array(input[place..<place + length]) : []
            place += bytes.count
            pieces.append(
                Piece(disk: disk, start: Int64(sector) * 512, bytes: bytes, fill: kind, length: Int64(length)))
        }
    }

    /// The disks.
    public var sources: [any BlockSource] {
        (0..<count).map { disk in
            Disk(
                name: "disk\(disk)", lengthInBytes: lengthInBytes, logicalSectorSize: sectorSize,
                pieces: pieces.filter { $0.disk == disk })
        }
    }

    private struct Disk: BlockSource {
        let name: String
        let lengthInBytes: Int64
        let logicalSectorSize: Int
        let pieces: [Piece]
        var physicalSectorSize: Int { logicalSectorSize }

        func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
            try checkRange(offset, buffer.count)
            buffer.clear()
            for piece in pieces {
                let start = max(piece.start, offset)
                let end = min(piece.start + piece.length, offset + Int64(buffer.count))
                guard start < end else { continue }
                let part = buffer.part(Int(start - offset), Int(end - start))
                if piece.fill == 0 {
                    let first = Int(start - piece.start)
                    piece.bytes.withUnsafeBytes {
                        part.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[first..<first + part.count]))
                    }
                } else {
                    for index in part.indices { part[index] = piece.fill }
                }
            }
        }
    }
}

extension SparseDisks {
    /// Makes checksums of RAID metadata right, as a forger would: else few inputs got past them.
    ///
    /// - Parameter crc32: CRC-32 of bytes that begins with zeros and is not inverted.
    public mutating func repairChecksums(_ crc32: ([UInt8]) -> UInt32) {
        for index in pieces.indices where pieces[index].fill == 0 {
            for place in stride(from: 0, to: pieces[index].bytes.count - 511, by: 512) {
                repair(index, place, crc32)
            }
        }
    }

    private mutating func repair(_ index: Int, _ place: Int, _ crc32: ([UInt8]) -> UInt32) {
        func word(_ offset: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(pieces[index].bytes[place + offset + $1]) << UInt32($1 * 8) }
        }
        let length = pieces[index].bytes.count - place
        switch word(0) {
        // Headers, controller, disk data; records of as many members as mdadm(8) makes place for.
        case 0x11de_11de, 0x1111_11ad, 0x3333_3333: repairCommon(index, place, 512, crc32)
        case 0xeeee_eeee where length >= 3584: repairCommon(index, place, 3584, crc32)
        case 0xa92b_4efc where word(4) == 1 && length >= 512:
            let end = 256 + min(Int(word(220)), 120) * 2
            var sum: UInt64 = 0
            for offset in stride(from: 0, through: end - 4, by: 4) where offset != 216 { sum += UInt64(word(offset)) }
            if end % 4 == 2 { sum += UInt64(word(end - 2) & 0xffff) }
            put(UInt32(truncatingIfNeeded: (sum & 0xffff_ffff) + sum >> 32), index, place + 216)
        case 0x6574_6e49 where word(4) == 0x6152_206c:
            // What does not fit in the sector lies in front of it.
            var sum: UInt32 = 0
            let rest = max((Int(word(36)) + 511) / 512 - 1, 0) * 512
            guard rest <= place else { return }
            for offset in 0..<min(Int(word(36)), 65_536) / 4 where offset != 8 {
                sum &+= word(offset * 4 < 512 ? offset * 4 : offset * 4 - 512 - rest)
            }
            put(sum, index, place + 32)
        default: break
        }
    }

    private mutating func repairCommon(_ index: Int, _ place: Int, _ length: Int, _ crc32: ([UInt8]) -> UInt32) {
        for offset in 4..<8 { pieces[index].bytes[place + offset] = 0xff }
        put(crc32(Array(pieces[index].bytes[place..<place + length])).byteSwapped, index, place + 4)
    }

    private mutating func put(_ value: UInt32, _ index: Int, _ place: Int) {
        for byte in 0..<4 { pieces[index].bytes[place + byte] = UInt8(truncatingIfNeeded: value >> UInt32(byte * 8)) }
    }
}
