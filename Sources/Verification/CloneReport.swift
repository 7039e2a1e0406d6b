// SPDX-License-Identifier: GPL-3.0-or-later

public import CloneFormat

/// What a verification found out about a clone.
public struct CloneReport: Sendable, Hashable {
    /// The manifest, when it could be read.
    public var manifest: Manifest?
    /// SHA-256 of `manifest.json` as it was found.
    public var manifestDigest: Digest?
    /// What was checked of each disk, in the manifest's order.
    public var disks: [VerifiedDisk]
    /// What is wrong, worst first; at most `Receipt.maximumProblems`.
    public var problems: [Problem]
    /// Number of problems found, listed or not.
    public var problemCount: Int
    /// Things to know that are no fault of the clone.
    public var warnings: [String]
    /// Clones that it cannot be read without, the nearest first.
    public var dependsOn: [BaseRecord] = []

    /// The verdict: failed for any problem; degraded when the source had ranges that could not be read.
    public var verdict: Verdict {
        guard problemCount == 0, let manifest else { return .failed }
        // A state of a later release is not known to be good.
        return manifest.state == .complete && manifest.disks.allSatisfy { $0.chunks.lost == 0 } ? .verified : .degraded
    }

    /// Makes a report of nothing found.
    init(manifest: Manifest? = nil, manifestDigest: Digest? = nil) {
        self.manifest = manifest
        self.manifestDigest = manifestDigest
        disks = []
        problems = []
        problemCount = 0
        warnings = []
    }
}

extension CloneReport {
    /// Adds what somebody else found, and keeps the worst first; problems beyond the bound are only counted.
    public mutating func add(_ more: [Problem]) {
        problemCount += more.count
        problems = Self.worstFirst(problems + more, disks: manifest?.disks.map(\.name) ?? [])
    }

    /// Returns `problems` by how much each puts in doubt, then by disk and place, at most as many as are listed.
    static func worstFirst(_ problems: [Problem], disks: [String]) -> [Problem] {
        let order = Dictionary(disks.enumerated().map { ($1, $0) }, uniquingKeysWith: min)
        func key(_ problem: Problem) -> (Int, Int, Int64, Int64) {
            (
                rank(problem.kind), problem.disk.flatMap { order[$0] } ?? -1, problem.offset ?? -1,
                problem.clusterOffset ?? -1
            )
        }
        let sorted = problems.enumerated().sorted { left, right in
            let (first, second) = (key(left.element), key(right.element))
            return first == second ? left.offset < right.offset : first < second
        }
        return sorted.prefix(Receipt.maximumProblems).map(\.element)
    }

    private static func rank(_ kind: Problem.Kind) -> Int {
        switch kind {
        case .manifest: return 0
        case .missingFile: return 1
        case .image: return 2
        case .wrongLength: return 3
        case .chunkFile: return 4
        case .structure: return 5
        case .unreadable: return 6
        case .digestMismatch: return 7
        case .notZero: return 8
        case .qemuImgCheck: return 9
        case .domain: return 10
        }
    }
}
