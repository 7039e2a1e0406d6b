// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Testing

/// The journal of a disk: what was written comes back, and damage is no promise.
@Suite struct DiskJournalTests {
    private static let journal = DiskJournal(
        unitLength: 2 << 20, cloneUUID: Array(1...16), diskLength: (5 << 20) + 512)

    private static let units = [
        DiskJournal.Unit(
            index: 0,
            pieces: [.init(offset: 0, count: 65536, isPacked: false), .init(offset: 65536, count: 77, isPacked: true)],
            digests: [Digest(of: [1]), nil], missing: []),
        DiskJournal.Unit(
            index: 2, pieces: [.init(offset: 0, count: 65536, isPacked: false)],
            digests: [Digest(of: [2]), Digest(of: [3])],
            missing: [ByteRange(offset: 4 << 20, length: 512), ByteRange(offset: 5 << 20, length: 512)]),
    ]

    @Test func givesBackWhatWasWritten() throws {
        let header = Self.journal.encodedHeader()
        #expect(header.count == DiskJournal.headerLength)
        #expect(try DiskJournal(decodingHeader: header, file: "j") == Self.journal)
        let checkpoint = DiskJournal.encodedCheckpoint(first: 7, units: Self.units)
        #expect(DiskJournal.checkpointLength(Array(checkpoint[0..<8])) == checkpoint.count)
        #expect(Self.journal.units(ofCheckpoint: checkpoint, first: 7, previous: -1) == Self.units)
        // One that does not follow on is none.
        #expect(Self.journal.units(ofCheckpoint: checkpoint, first: 6, previous: -1) == nil)
        #expect(Self.journal.units(ofCheckpoint: checkpoint, first: 7, previous: 0) == nil)
    }

    @Test func noticesEveryFlippedBitAndTruncation() {
        let header = Self.journal.encodedHeader()
        for byte in header.indices {
            var damaged = header
            damaged[byte] ^= 1
            #expect(throws: FormatError.self) { _ = try DiskJournal(decodingHeader: damaged, file: "j") }
            #expect(throws: FormatError.self) { _ = try DiskJournal(decodingHeader: Array(header[..<byte]), file: "j") }
        }
        let checkpoint = DiskJournal.encodedCheckpoint(first: 0, units: Self.units)
        for byte in checkpoint.indices {
            for bit in 0..<8 {
                var damaged = checkpoint
                damaged[byte] ^= 1 << bit
                #expect(Self.journal.units(ofCheckpoint: damaged, first: 0, previous: -1) == nil)
            }
            #expect(Self.journal.units(ofCheckpoint: Array(checkpoint[..<byte]), first: 0, previous: -1) == nil)
        }
    }

    /// With a right checksum, but values that no disk of this length has.
    @Test func refusesImpossibleUnits() {
        func isRefused(_ change: (inout DiskJournal.Unit) -> Void) -> Bool {
            var unit = Self.units[1]
            change(&unit)
            let checkpoint = DiskJournal.encodedCheckpoint(first: 0, units: [unit])
            return Self.journal.units(ofCheckpoint: checkpoint, first: 0, previous: -1) == nil
        }
        #expect(!isRefused { _ in })
        #expect(isRefused { $0.index = 3 })
        #expect(isRefused { $0.index = 1 << 50 })
        // With the longest unit, an index whose first byte no 63 bits hold.
        let wide = DiskJournal(unitLength: 64 << 20, cloneUUID: Array(1...16), diskLength: 1 << 53)
        let far = DiskJournal.encodedCheckpoint(
            first: 0, units: [DiskJournal.Unit(index: 1 << 39, pieces: [], digests: [], missing: [])])
        #expect(wide.units(ofCheckpoint: far, first: 0, previous: -1) == nil)
        #expect(isRefused { $0.pieces = [.init(offset: 2 << 20, count: 1, isPacked: false)] })
        #expect(isRefused { $0.pieces = [.init(offset: 1 << 20, count: 2 << 20, isPacked: false)] })
        #expect(
            isRefused {
                $0.pieces = [.init(offset: 9, count: 9, isPacked: false), .init(offset: 9, count: 9, isPacked: false)]
            })
        #expect(isRefused { $0.pieces = [.init(offset: 0, count: 0, isPacked: false)] })
        #expect(isRefused { $0.digests = [nil] })
        #expect(isRefused { $0.missing = [ByteRange(offset: 0, length: 512)] })
        #expect(isRefused { $0.missing = [ByteRange(offset: 4 << 20, length: 2 << 20)] })
    }
}
