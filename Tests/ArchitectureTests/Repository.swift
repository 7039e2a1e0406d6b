// SPDX-License-Identifier: GPL-3.0-or-later

internal import Foundation

/// The work tree that these tests were built from.
enum Repository {
    /// Its root, without a slash at the end.
    static var root: String {
        // Tests/ArchitectureTests/Repository.swift
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .path(percentEncoded: false).trimmingSuffix("/")
    }

    /// Returns the names in `folder`, sorted.
    static func names(in folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "\(root)/\(folder)").sorted()
    }

    /// Returns the paths of all files below `folder`, relative to the root, that end in one of `endings`.
    static func files(below folder: String, endingIn endings: [String]) throws -> [String] {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: "\(root)/\(folder)")
        return paths.filter { path in endings.contains { path.hasSuffix($0) } }.map { "\(folder)/\($0)" }.sorted()
    }

    static func text(of path: String) throws -> String {
        try String(contentsOfFile: "\(root)/\(path)", encoding: .utf8)
    }

    static func source(_ path: String) throws -> SwiftSource { SwiftSource(try text(of: path)) }
}

extension String {
    fileprivate func trimmingSuffix(_ suffix: String) -> String {
        hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
    }
}
