// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser

/// A length of time on the command line: `90s`, `30m`, `2h`; plain seconds without a unit.
struct TimeSpan: ExpressibleByArgument, Sendable, Hashable {
    /// At most 100 days.
    var seconds: Int

    init(seconds: Int) { self.seconds = seconds }

    init?(argument: String) {
        let units: [(suffix: String, seconds: Int)] = [("s", 1), ("m", 60), ("h", 3600)]
        let unit = units.first { argument.lowercased().hasSuffix($0.suffix) }
        guard let count = Int(unit == nil ? argument[...] : argument.dropLast()), count >= 0,
            count <= 8_640_000 / (unit?.seconds ?? 1)
        else { return nil }
        seconds = count * (unit?.seconds ?? 1)
    }

    var defaultValueDescription: String { seconds % 3600 == 0 ? "\(seconds / 3600)h" : "\(seconds)s" }
}
