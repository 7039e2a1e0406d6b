// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// A folder of a test's own, removed with everything in it when the last reference goes.
public final class TemporaryFolder: Sendable {
    /// Absolute path, without a trailing slash.
    public let path: String

    /// Makes an empty folder below `parent`.
    ///
    /// mkdtemp(3).
    public init(in parent: String = "/tmp") throws {
        var template = Array("\(parent)/coldclone-test.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw ToolError("cannot make a folder in \(parent): errno \(errno)") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { _ = try? Tool.run("rm", ["-rf", "--", path]) }

    /// Returns the path of `name` in the folder.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Makes a folder in the folder and returns its path.
    public func folder(_ name: String) throws -> String {
        guard mkdir(file(name), 0o755) == 0 else { throw ToolError("cannot make \(file(name)): errno \(errno)") }
        return file(name)
    }
}
