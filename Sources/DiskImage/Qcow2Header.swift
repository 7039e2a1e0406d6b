// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// What the header of an image to be read says, checked.
///
/// qemu docs/interop/qcow2.
struct Qcow2Header: Sendable {
    /// Longest disk that is read, in bytes: 2^53, far beyond anything QEMU makes.
    static let maximumDiskLength: UInt64 = 1 << 53

    var version: UInt32
    var layout: Qcow2Layout
    var diskLength: Int64
    var l1Offset: Int64
    var l1Entries: Int
    var refcountTableOffset: Int64
    var refcountTableClusters: Int
    var refcountOrder: Int
    var hasExtendedL2: Bool
    var isZstd: Bool
    /// The refcounts were not kept up to date: lazy refcounts after a crash.
    var isDirty: Bool
    /// Snapshots or bitmaps, which hold references of their own.
    var hasForeignReferences: Bool
    /// What it says of the image behind it.
    var backing: Backing?

    /// A backing file's name and format, as they stand there.
    struct Backing: Sendable, Hashable {
        var file: [UInt8]
        var format: [UInt8]?
    }

    /// Bytes an L2 entry.
    var l2EntrySize: Int { hasExtendedL2 ? 16 : 8 }
    /// Bits that a standard cluster's L2 entry may have set.
    var standardEntryMask: UInt64 {
        let zero = version >= 3 && !hasExtendedL2 ? Qcow2Layout.zero : 0
        return Qcow2Layout.offsetMask | Qcow2Layout.copied | zero
    }
    /// Guest clusters an L2 table.
    var l2Clusters: Int { layout.clusterSize / l2EntrySize }

    /// Reads and checks the header of `file`.
    init(reading file: any BlockSource) throws(ImageError) {
        let bytes: [UInt8]
        do throws(BlockError) {
            bytes = try file.bytes(at: 0, count: Int(min(file.lengthInBytes, 2 << 20)))
        } catch {
            throw .io(error)
        }
        self = try bytes.withUnsafeBytes { bytes in
            do throws(ImageError) {
                return Result<Qcow2Header, ImageError>.success(try Self.parse(bytes, file.name, file.lengthInBytes))
            } catch {
                return .failure(error)
            }
        }.get()
    }

    private init(
        version: UInt32, layout: Qcow2Layout, diskLength: Int64, l1: (offset: Int64, entries: Int),
        refcountTable: (offset: Int64, clusters: Int), refcountOrder: Int, features: UInt64, isZstd: Bool,
        hasForeignReferences: Bool, backing: Backing?
    ) {
        self.backing = backing
        self.version = version
        self.layout = layout
        self.diskLength = diskLength
        (l1Offset, l1Entries) = l1
        (refcountTableOffset, refcountTableClusters) = refcountTable
        self.refcountOrder = refcountOrder
        hasExtendedL2 = features & Features.extendedL2 != 0
        isDirty = features & Features.dirty != 0
        self.isZstd = isZstd
        self.hasForeignReferences = hasForeignReferences
    }

    /// Bits of incompatible_features, byte 72.
    private enum Features {
        static let dirty: UInt64 = 1 << 0
        static let corrupt: UInt64 = 1 << 1
        static let externalData: UInt64 = 1 << 2
        static let compressionType = Qcow2Layout.compressionTypeFeature
        static let extendedL2: UInt64 = 1 << 4
        static let known = dirty | corrupt | externalData | compressionType | extendedL2
    }

    private static func parse(
        _ bytes: UnsafeRawBufferPointer, _ path: String, _ fileLength: Int64
    ) throws(ImageError) -> Qcow2Header {
        func damaged(_ offset: Int64?, _ reason: String) -> ImageError {
            .damaged(path: path, offset: offset, reason: reason)
        }
        func word(_ offset: Int) throws(ImageError) -> UInt32 {
            guard let value = bytes.bigEndian(at: offset, as: UInt32.self) else {
                throw damaged(nil, "it is shorter than its header")
            }
            return value
        }
        func long(_ offset: Int) throws(ImageError) -> UInt64 {
            UInt64(try word(offset)) << 32 | UInt64(try word(offset + 4))
        }
        guard try word(0) == Qcow2Layout.magic else { throw damaged(0, "it does not begin as a qcow2 image") }
        let version = try word(4)
        guard version == 2 || version == 3 else { throw .unsupported(path: path, feature: "qcow2 version \(version)") }
        let clusterBits = try word(20)
        guard (9...21).contains(clusterBits) else {
            throw damaged(20, "a cluster size of 2^\(clusterBits) bytes is not possible")
        }
        let layout = Qcow2Layout(clusterBits: Int(clusterBits))
        guard try word(32) == 0 else { throw .unsupported(path: path, feature: "encryption") }
        let size = try long(24)
        guard size <= maximumDiskLength else { throw damaged(24, "a disk of \(size) bytes is too long") }

        let features = version == 2 ? 0 : try long(72)
        let refcountOrder = version == 2 ? 4 : try word(96)
        let headerLength = version == 2 ? 72 : Int(try word(100))
        guard refcountOrder <= 6 else { throw damaged(96, "refcounts of 2^\(refcountOrder) bits are not possible") }
        guard version == 2 || (headerLength >= 104 && headerLength % 8 == 0 && headerLength <= layout.clusterSize)
        else {
            throw damaged(100, "a header of \(headerLength) bytes is not possible")
        }
        guard
            let extensions = Qcow2HeaderExtensions(
                bytes, from: headerLength, to: min(bytes.count, layout.clusterSize))
        else { throw damaged(Int64(headerLength), "a header extension runs over the first cluster") }
        let backing = try Self.backing(bytes, layout, extensions) {
            damaged(8, "the name of its backing file does not lie within the first cluster")
        }
        if features & ~Features.known != 0 {
            let bit = (features & ~Features.known).trailingZeroBitCount
            throw .unsupported(path: path, feature: extensions.name(ofIncompatibleFeature: bit))
        }
        guard features & Features.corrupt == 0 else { throw damaged(72, "it is marked as corrupt") }
        guard features & Features.externalData == 0 else {
            throw .unsupported(path: path, feature: "an external data file")
        }
        guard features & Features.extendedL2 == 0 || clusterBits >= 14 else {
            throw damaged(20, "clusters of \(layout.clusterSize) bytes cannot have extended L2 entries")
        }
        let compression = headerLength > 104 ? try word(104) >> 24 : 0
        guard (compression != 0) == (features & Features.compressionType != 0) else {
            throw damaged(104, "its compression type contradicts its features")
        }
        guard compression <= 1 else { throw .unsupported(path: path, feature: "compression type \(compression)") }

        let entrySize = features & Features.extendedL2 != 0 ? 16 : 8
        let l1 = (offset: try long(40), entries: try word(36))
        let coverage = UInt64(layout.clusterSize) * UInt64(layout.clusterSize / entrySize)
        let needed = (size + coverage - 1) / coverage
        guard UInt64(l1.entries) >= needed, Int(l1.entries) * 8 <= Qcow2Layout.maximumL1Bytes else {
            throw damaged(36, "an L1 table of \(l1.entries) entries does not fit a disk of \(size) bytes")
        }
        let mask = UInt64(layout.clusterSize - 1)
        guard l1.offset & mask == 0, l1.offset <= UInt64(fileLength),
            UInt64(l1.entries) * 8 <= UInt64(fileLength) - l1.offset
        else { throw damaged(40, "its L1 table does not lie within the file") }
        let table = (offset: try long(48), clusters: try word(56))
        guard table.clusters > 0 else { throw damaged(56, "it has no refcount table") }
        guard table.offset & mask == 0, table.offset < UInt64(fileLength),
            Int(table.clusters) * layout.clusterSize <= Qcow2Layout.maximumRefcountTableBytes
        else { throw damaged(48, "its refcount table does not lie within the file") }
        return Qcow2Header(
            version: version, layout: layout, diskLength: Int64(size),
            l1: (Int64(l1.offset), Int(l1.entries)), refcountTable: (Int64(table.offset), Int(table.clusters)),
            refcountOrder: Int(refcountOrder), features: features, isZstd: compression == 1,
            hasForeignReferences: try word(60) != 0 || extensions.hasBitmaps, backing: backing)
    }
}

extension Qcow2Header {
    /// Returns the backing file's name and format; none where the header names none.
    ///
    /// - Throws: what `error` makes, when the name lies elsewhere than in the first cluster, or is too long.
    private static func backing(
        _ bytes: UnsafeRawBufferPointer, _ layout: Qcow2Layout, _ extensions: Qcow2HeaderExtensions,
        _ error: () -> ImageError
    ) throws(ImageError) -> Backing? {
        guard let offset: UInt64 = bytes.bigEndian(at: 8), let length: UInt32 = bytes.bigEndian(at: 16) else {
            throw error()
        }
        guard offset != 0 else { return nil }
        let end = UInt64(min(bytes.count, layout.clusterSize))
        guard (1...UInt32(BackingName.maximumLength)).contains(length), offset <= end, UInt64(length) <= end - offset
        else { throw error() }
        return Backing(file: Array(bytes.part(Int(offset), Int(length))), format: extensions.backingFormat)
    }
}

/// The header extensions that matter to a reader.
struct Qcow2HeaderExtensions {
    private static let featureNames: UInt32 = 0x6803_f857
    private static let bitmaps: UInt32 = 0x2385_2875

    private(set) var hasBitmaps = false
    private(set) var backingFormat: [UInt8]?
    private var names: [Int: String] = [:]

    /// Walks the extensions from byte `start`; nil when one runs over `end`, which hides those behind it.
    init?(_ bytes: UnsafeRawBufferPointer, from start: Int, to end: Int) {
        var offset = start
        while offset <= end - 8, let type = bytes.bigEndian(at: offset, as: UInt32.self), type != 0,
            let length = bytes.bigEndian(at: offset + 4, as: UInt32.self)
        {
            let data = offset + 8
            guard Int(length) <= end - data else { return nil }
            switch type {
            case Self.bitmaps: hasBitmaps = true
            case Qcow2Layout.backingFormatExtension: backingFormat = Array(bytes.part(data, Int(length)))
            case Self.featureNames: readNames(bytes.part(data, Int(length)))
            default: break
            }
            offset = data + (Int(length) + 7) / 8 * 8
        }
    }

    /// Returns what the image itself calls the feature, else its bit.
    func name(ofIncompatibleFeature bit: Int) -> String {
        names[bit].map { "the incompatible feature \"\($0)\"" } ?? "the unknown incompatible feature bit \(bit)"
    }

    /// Entries of 48 bytes: kind (0 incompatible), bit, name padded with zeros.
    private mutating func readNames(_ table: UnsafeRawBufferPointer) {
        for entry in stride(from: 0, through: table.count - 48, by: 48) where table[entry] == 0 {
            let name = table.part(entry + 2, 46).prefix { (0x20..<0x7f).contains($0) }
            names[Int(table[entry + 1])] = String(decoding: name, as: UTF8.self)
        }
    }
}
