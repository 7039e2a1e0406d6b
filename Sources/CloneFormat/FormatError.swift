// SPDX-License-Identifier: GPL-3.0-or-later

/// A manifest, chunk file, receipt, journal or job that is damaged, foreign or too new.
public enum FormatError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The bytes are not what the format says, at the place that `reason` names.
    case damaged(file: String, reason: String)
    /// The file was written by a later release.
    case unsupportedVersion(file: String, version: FormatVersion, supported: FormatVersion)
    /// The file belongs to another clone or disk.
    case foreign(file: String, reason: String)
    /// A setting of a job or the kernel's command line is wrong.
    case setting(place: String, reason: String, hint: String?)

    /// The message, naming file and reason.
    public var description: String {
        switch self {
        case .damaged(let file, let reason): return "\(file) is damaged: \(reason)"
        case .unsupportedVersion(let file, let version, let supported):
            return "\(file) has format version \(version); this release reads up to \(supported)"
        case .foreign(let file, let reason): return "\(file) does not belong here: \(reason)"
        case .setting(let place, let reason, _): return "\(place): \(reason)"
        }
    }

    /// What can be done about it.
    public var hint: String? {
        switch self {
        case .damaged: return "copy the clone from its target again, or capture again"
        case .unsupportedVersion: return "use a coldclone at least as new as the one that made the clone"
        case .foreign: return "put the clone's own file back"
        case .setting(_, _, let hint): return hint
        }
    }
}
