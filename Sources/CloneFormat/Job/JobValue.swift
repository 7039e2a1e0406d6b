// SPDX-License-Identifier: GPL-3.0-or-later

/// A value of a job before anybody knows what it means, with the line that it stands on.
public struct JobValue: Sendable, Hashable {
    /// What there is.
    public indirect enum Content: Sendable, Hashable {
        /// Text.
        case text(String)
        /// Values in order.
        case list([JobValue])
        /// Names and values, in order; no name stands twice.
        case map([Entry])
    }

    /// A name and its value.
    public struct Entry: Sendable, Hashable {
        /// The name.
        public var name: String
        /// The value.
        public var value: JobValue
    }

    /// What there is.
    public var content: Content
    /// Line in the file, from 1; 0 where there are no lines.
    public var line: Int

    /// Makes a value.
    public init(_ content: Content, line: Int = 0) {
        self.content = content
        self.line = line
    }
}
