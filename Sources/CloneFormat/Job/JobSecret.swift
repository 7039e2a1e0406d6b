// SPDX-License-Identifier: GPL-3.0-or-later

/// Text of a job that must not be shown: whatever prints or encodes it gives `<secret>`.
public struct JobSecret: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable,
    Encodable
{
    private let text: String

    /// Takes the text.
    public init(_ text: String) { self.text = text }

    /// The text itself, for the one call that needs it.
    public var revealed: String { text }

    /// What messages show.
    public var description: String { "<secret>" }
    /// What a debugger shows.
    public var debugDescription: String { description }
    /// What `dump` shows: nothing below.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }

    /// Writes that there is one, not which.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
