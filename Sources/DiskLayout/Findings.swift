// SPDX-License-Identifier: GPL-3.0-or-later

/// What a reader noticed, in sentences, bounded in number.
struct Findings: Sendable, Hashable {
    /// Most sentences kept: a hostile table can be wrong in thousands of ways.
    static let maximum = 100

    private(set) var texts: [String] = []
    /// Whether anything contradicts itself, so that the table may not say all that is on the disk.
    private(set) var areDoubtful = false

    /// Keeps `text`, which takes nothing from the table's word.
    mutating func note(_ text: String) {
        if texts.count < Self.maximum { texts.append(text) }
    }

    /// Keeps `text`, after which the table must not be relied on for what lies between partitions.
    mutating func doubt(_ text: String) {
        areDoubtful = true
        note(text)
    }

    /// Appends another reader's findings.
    mutating func add(_ other: Findings) {
        for text in other.texts { note(text) }
        areDoubtful = areDoubtful || other.areDoubtful
    }
}
