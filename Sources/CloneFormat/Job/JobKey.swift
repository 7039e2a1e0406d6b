// SPDX-License-Identifier: GPL-3.0-or-later

/// The keys of a job, which on the kernel command line stand behind `coldclone.`.
public enum JobKey: String, Sendable, Hashable, CaseIterable {
    case mode, job, receiver, token, fingerprint, target, name, disks, iscsi, format, compression
    case freeSpace = "free_space"
    case base
    case baseCopy = "base_copy"
    case force, bench, resume, retries
    case waitNetwork = "wait_network"
    case waitReceipt = "wait_receipt"
    case onDone = "on_done"
    case onFail = "on_fail"
    case keyboard, language
    case sshKey = "ssh_key"

    /// Returns the key that `name` was most likely meant to be: at most two letters away.
    static func nearest(to name: String) -> JobKey? {
        guard name.utf8.count <= 40 else { return nil }
        let ranked = allCases.map { ($0, distance(Array(name.utf8), Array($0.rawValue.utf8))) }
        return ranked.min { $0.1 < $1.1 }.flatMap { $0.1 <= 2 ? $0.0 : nil }
    }

    /// Returns the number of letters to insert, remove or replace between two words: Levenshtein's distance.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var row = Array(0...right.count)
        for (line, letter) in left.enumerated() {
            var diagonal = row[0]
            row[0] = line + 1
            for (column, other) in right.enumerated() {
                let replaced = diagonal + (letter == other ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(replaced, row[column] + 1, row[column + 1] + 1)
            }
        }
        return row[right.count]
    }
}

/// Where a setting comes from, the weakest first: what comes later wins.
public enum JobOrigin: Sendable, Hashable, CustomStringConvertible {
    /// Nobody said anything.
    case defaults
    /// A job, by its path or URL.
    case job(String)
    /// The kernel's command line.
    case commandLine
    /// An option of the program.
    case option

    /// What messages call it.
    public var description: String {
        switch self {
        case .defaults: "default"
        case .job(let place): place
        case .commandLine: "kernel command line"
        case .option: "--set"
        }
    }
}
