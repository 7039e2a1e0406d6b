// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser

/// Where a clone is written, as `--target` names it.
struct TargetSpecification: ExpressibleByArgument, Sendable, Hashable {
    /// A folder that exists.
    var folder: String

    init?(argument: String) {
        guard argument.hasPrefix("dir:"), argument.count > 4 else { return nil }
        var folder = argument.dropFirst(4)
        while folder.count > 1, folder.last == "/" { folder.removeLast() }
        self.folder = String(folder)
    }
}
