// SPDX-License-Identifier: GPL-3.0-or-later

/// Text that must not be shown: whatever prints it prints `<secret>`.
public struct Secret: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
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
}
