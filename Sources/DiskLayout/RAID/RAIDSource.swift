// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// A RAID array as a source: reads what its geometry says from the members that are there.
///
/// Meant for looking at metadata: every run of bytes is read by itself. Of several copies the next is tried when one
/// cannot be read, and one missing chunk is made up from parity.
final class RAIDSource: BlockSource {
    let name: String
    let lengthInBytes: Int64
    let logicalSectorSize: Int
    let physicalSectorSize: Int
    private let geometry: RAIDGeometry
    private let members: [(any BlockSource)?]

    /// Makes an array of members in the order of their roles, nil for a missing one, each the data only.
    init(name: String, length: Int64, geometry: RAIDGeometry, members: [(any BlockSource)?]) {
        self.name = name
        self.geometry = geometry
        self.members = members
        lengthInBytes = max(length, 0)
        logicalSectorSize = members.compactMap { $0?.logicalSectorSize }.max() ?? 512
        physicalSectorSize = members.compactMap { $0?.physicalSectorSize }.max() ?? 512
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        var done = 0
        while done < buffer.count {
            let position = offset + Int64(done)
            guard let piece = geometry.piece(at: position), piece.length > 0 else {
                throw BlockError(.read, name, offset: position, .invalid("its geometry ends before its length"))
            }
            let count = Int(min(piece.length, Int64(buffer.count - done)))
            try read(piece, into: buffer.part(done, count), at: position)
            done += count
        }
    }

    private func read(
        _ piece: RAIDGeometry.Piece, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
    ) throws(BlockError) {
        var failure: BlockError?
        for place in piece.copies {
            guard let member = member(place.role) else { continue }
            do throws(BlockError) {
                return try member.read(into: buffer, at: place.offset)
            } catch {
                failure = error
            }
        }
        if !piece.parity.isEmpty, piece.parity.allSatisfy({ member($0.role) != nil }) {
            return try rebuild(piece.parity, into: buffer)
        }
        throw failure
            ?? BlockError(
                .read, name, offset: offset, length: buffer.count, .invalid("too many of its members are missing"))
    }

    private func member(_ role: Int) -> (any BlockSource)? {
        members.indices.contains(role) ? members[role] : nil
    }

    /// Fills `buffer` with the exclusive or of what lies at `places`.
    private func rebuild(
        _ places: [RAIDGeometry.Place], into buffer: UnsafeMutableRawBufferPointer
    ) throws(BlockError) {
        let piece = AlignedBuffer(count: buffer.count)
        let bytes = piece.prefix(buffer.count)
        buffer.clear()
        for place in places {
            guard let member = member(place.role) else { continue }
            try member.read(into: bytes, at: place.offset)
            for index in 0..<buffer.count { buffer[index] ^= bytes[index] }
        }
    }
}
