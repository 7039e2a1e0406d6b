// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser

/// A size on the command line: bytes, or with a binary unit such as `64KiB`, `64K`, `256MiB`, `1G`.
struct ByteSize: ExpressibleByArgument, Sendable, Hashable {
    var bytes: Int

    init(bytes: Int) { self.bytes = bytes }

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && $0.isNumber }
        let unit = argument.dropFirst(digits.count).lowercased()
        let shifts = ["": 0, "b": 0, "k": 10, "kib": 10, "m": 20, "mib": 20, "g": 30, "gib": 30]
        guard let number = Int(digits), number > 0, let shift = shifts[unit], number <= Int.max >> shift else {
            return nil
        }
        bytes = number << shift
    }

    var defaultValueDescription: String {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] where bytes & (1 << shift - 1) == 0 {
            return "\(bytes >> shift)\(unit)"
        }
        return "\(bytes)"
    }
}
