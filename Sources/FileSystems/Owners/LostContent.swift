// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// What lies in ranges of a volume that cannot be read, and how much of it.
public struct LostContent: Sendable, Hashable {
    /// What a piece is.
    public enum Kind: String, Sendable, Hashable {
        /// Content of a file.
        case file
        /// A directory: names of what is in it.
        case directory
        /// A structure of the file system, or what it keeps beside a file's content.
        case metadata
        /// Nothing: no file and no structure has it.
        case free
        /// It could not be told, as something that leads there cannot be read either.
        case unknown
    }

    /// What it is.
    public var kind: Kind
    /// Path of the file or directory from the file system's root; nil where it is none, or has no name that was found.
    public var path: String?
    /// What else there is to say: `inode table of group 3`, `extended attributes`, `inode 12`.
    public var detail: String?
    /// Bytes of it that lie in the ranges.
    public var lengthInBytes: Int64

    /// Makes a piece.
    public init(kind: Kind, path: String? = nil, detail: String? = nil, lengthInBytes: Int64) {
        self.kind = kind
        self.path = path
        self.detail = detail
        self.lengthInBytes = lengthInBytes
    }

    /// Most pieces of a volume that are told apart.
    public static let maximumCount = 1000

    /// Tells what lies in `ranges` of the volume `source`, which have no byte in common.
    ///
    /// Reads every inode of an ext2/3/4, XFS or NTFS file system, as far as that goes: what cannot be read or
    /// contradicts itself is passed over, and what it may have led to is `unknown`. Memory is bounded.
    /// - Parameters:
    ///   - type: libblkid's TYPE of the volume.
    ///   - goesOn: called now and then; false ends the search with what was found.
    /// - Returns: the pieces, files first; nil for a file system that is not looked at, or none.
    public static func find(
        in ranges: [Range<Int64>], of source: any BlockSource, type: String,
        goesOn: @escaping @Sendable () -> Bool = { true }
    ) -> [LostContent]? {
        let bytes = VolumeBytes(source)
        var search = OwnerSearch(ranges, goesOn: goesOn)
        switch FileSystemKind(rawValue: type) {
        case .ext2, .ext3, .ext4: ExtOwners.search(bytes, &search)
        case .xfs: XFSOwners.search(bytes, &search)
        case .ntfs: NTFSOwners.search(bytes, &search)
        default: return nil
        }
        var paths: [UInt64: String] = [:]
        let wanted = search.inodes
        if !wanted.isEmpty, let reader = try? FileSystemKind.open(source, type: type) {
            paths = PathSearch(reader, wanted: wanted, goesOn: goesOn).run()
        }
        return search.content(paths: paths)
    }
}

/// What a place of a volume belongs to.
enum SpaceOwner: Hashable {
    /// Content of the file or directory of an inode.
    case content(UInt64, isDirectory: Bool)
    /// What is kept beside an inode's content: `extended attributes`.
    case beside(UInt64, String)
    /// A structure of the file system: `inode table of group 3`.
    case structure(String)
}

/// The ranges of a volume whose owners are looked for, and those found.
struct OwnerSearch {
    private let wanted: [Range<Int64>]
    private let goesOnByCaller: @Sendable () -> Bool
    private var found: [SpaceOwner: Int64] = [:]
    private var order: [SpaceOwner] = []
    /// What has an owner; blocks that files share are in several.
    private var owned: [Range<Int64>] = []
    private var overflow: Int64 = 0
    private var steps = 0
    private var isStopped = false
    /// Whether something could not be read that may lead to what has no owner.
    private(set) var isIncomplete = false

    init(_ ranges: [Range<Int64>], goesOn: @escaping @Sendable () -> Bool) {
        wanted = ranges.filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
        goesOnByCaller = goesOn
    }

    /// Notes that something could not be read.
    mutating func miss() { isIncomplete = true }

    /// Tells whether to go on; otherwise the search is incomplete.
    mutating func goesOn() -> Bool {
        steps += 1
        if steps & 0x3ff == 1, !goesOnByCaller() { isStopped = true }
        if isStopped { isIncomplete = true }
        return !isStopped
    }

    /// Tells whether any byte of `range` is looked for.
    func touches(_ range: Range<Int64>) -> Bool {
        let index = firstIndex(endingBehind: range.lowerBound)
        return index < wanted.count && wanted[index].lowerBound < range.upperBound
    }

    /// Gives what lies in `range` to `owner`.
    mutating func add(_ range: Range<Int64>, _ owner: @autoclosure () -> SpaceOwner) {
        var index = firstIndex(endingBehind: range.lowerBound)
        guard index < wanted.count, wanted[index].lowerBound < range.upperBound else { return }
        let owner = owner()
        var length: Int64 = 0
        while index < wanted.count, wanted[index].lowerBound < range.upperBound {
            let part = wanted[index].clamped(to: range)
            length += part.upperBound - part.lowerBound
            // Where there are very many, the ones behind count as unknown at worst.
            if owned.count < 1 << 20 { owned.append(part) } else { isIncomplete = true }
            index += 1
        }
        if let known = found[owner] {
            found[owner] = known + length
        } else if order.count < LostContent.maximumCount {
            found[owner] = length
            order.append(owner)
        } else {
            overflow += length
        }
    }

    /// The inodes whose names are wanted.
    var inodes: Set<UInt64> {
        Set(
            order.compactMap { owner in
                switch owner {
                case .content(let inode, _), .beside(let inode, _): inode
                case .structure: nil
                }
            })
    }

    /// Returns what was found, files first, and last what has no owner.
    func content(paths: [UInt64: String]) -> [LostContent] {
        var result = order.map { owner in
            let length = found[owner] ?? 0
            switch owner {
            case .content(let inode, let isDirectory):
                return LostContent(
                    kind: isDirectory ? .directory : .file, path: paths[inode],
                    detail: paths[inode] == nil ? "inode \(inode)" : nil, lengthInBytes: length)
            case .beside(let inode, let what):
                return LostContent(
                    kind: .metadata, path: paths[inode],
                    detail: paths[inode] == nil ? "\(what) of inode \(inode)" : what, lengthInBytes: length)
            case .structure(let name): return LostContent(kind: .metadata, detail: name, lengthInBytes: length)
            }
        }
        let rank: [LostContent.Kind] = [.file, .directory, .metadata]
        result = rank.flatMap { kind in result.filter { $0.kind == kind } }
        if overflow > 0 {
            result.append(LostContent(kind: .unknown, detail: "more than can be listed", lengthInBytes: overflow))
        }
        let rest = wanted.reduce(0) { $0 + $1.upperBound - $1.lowerBound } - Self.union(owned)
        if rest > 0 { result.append(LostContent(kind: isIncomplete ? .unknown : .free, lengthInBytes: rest)) }
        return result
    }

    private static func union(_ ranges: [Range<Int64>]) -> Int64 {
        var end = Int64.min
        var total: Int64 = 0
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where range.upperBound > end {
            total += range.upperBound - max(range.lowerBound, end)
            end = range.upperBound
        }
        return total
    }

    private func firstIndex(endingBehind position: Int64) -> Int {
        var (low, high) = (0, wanted.count)
        while low < high {
            let middle = low + (high - low) / 2
            if wanted[middle].upperBound <= position { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
