// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskImage
internal import TestSupport

/// A clean qcow2 image in memory whose tables a test bends.
struct ForgedImage {
    /// Bytes a cluster.
    static let clusterSize = 4096

    /// The image file.
    var bytes: [UInt8]
    /// What its guest reads.
    let content: [UInt8]

    /// Makes an image of 64 clusters of random bytes and 1 MiB of zeros.
    init(compression: ImageCompression = .none, zeros: Int = 1 << 20) throws {
        let folder = try TemporaryFolder()
        content = SampleContent.bytes(.random, length: 64 * Self.clusterSize) + [UInt8](repeating: 0, count: zeros)
        let options = Qcow2Writer.Options(clusterSize: Self.clusterSize, compression: compression)
        try ImageMaker.write(content, to: folder.file("image"), options)
        bytes = try SmallFile.read(folder.file("image"), limit: 64 << 20)
    }

    /// Byte at which each first table begins.
    var l1: Int { offset(40) }
    var l2: Int { offset(l1) }
    var refcountTable: Int { offset(48) }
    var refcountBlock: Int { offset(refcountTable) }

    /// Returns the 64 bits at byte `place`.
    func word(_ place: Int) -> UInt64 { bytes[place..<place + 8].reduce(0) { $0 << 8 | UInt64($1) } }

    /// Returns the file offset in the entry at byte `place`.
    func offset(_ place: Int) -> Int { Int(word(place) & 0x00ff_ffff_ffff_fe00) }

    /// Stores `value`, big-endian, at byte `place`.
    mutating func set(_ value: some FixedWidthInteger, at place: Int) {
        withUnsafeBytes(of: value.bigEndian) { bytes.replaceSubrange(place..<place + $0.count, with: $0) }
    }

    /// Appends `new` at the next cluster boundary, padded to the next one, and returns where it begins.
    mutating func append(_ new: [UInt8]) -> Int {
        let place = (bytes.count + Self.clusterSize - 1) / Self.clusterSize * Self.clusterSize
        let end = (place + new.count + Self.clusterSize - 1) / Self.clusterSize * Self.clusterSize
        bytes += [UInt8](repeating: 0, count: place - bytes.count) + new
        bytes += [UInt8](repeating: 0, count: end - bytes.count)
        return place
    }

    /// Returns what the structure check says, up to 50 problems.
    func problems() throws -> [StructureProblem] {
        var problems: [StructureProblem] = []
        try DiskImage.open(MemorySource(bytes), format: .qcow2).checkStructure { problem in
            problems.append(problem)
            return problems.count < 50
        }
        return problems
    }
}
