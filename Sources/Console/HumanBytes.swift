// SPDX-License-Identifier: GPL-3.0-or-later

/// Byte counts for people, in binary units: `512 B`, `1.5 GiB`, `112 MiB/s`.
public enum HumanBytes {
    private static let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

    /// Returns `bytes` in the largest unit of which there is at least one; a decimal below 100 of them.
    public static func format(_ bytes: Int64) -> String {
        let magnitude = bytes.magnitude
        let sign = bytes < 0 ? "-" : ""
        guard magnitude >= 1024 else { return "\(sign)\(magnitude) B" }
        var unit = 1
        var tenths = Self.tenths(magnitude, shift: 10)
        // Rounding may reach 1024 of a unit: that is one of the next.
        while tenths >= 10_235, unit + 1 < units.count {
            unit += 1
            tenths = Self.tenths(magnitude, shift: UInt64(unit) * 10)
        }
        let number = tenths < 1000 ? "\(tenths / 10).\(tenths % 10)" : "\((tenths + 5) / 10)"
        return "\(sign)\(number) \(units[unit])"
    }

    /// Returns a rate in bytes a second, `-` when it is not known.
    public static func rate(_ bytesPerSecond: Double?) -> String {
        guard let bytesPerSecond, bytesPerSecond.isFinite, bytesPerSecond >= 0 else { return "-" }
        return format(Int64(min(bytesPerSecond, 9e18))) + "/s"
    }

    /// Returns `value` in tenths of 2^`shift`, rounded to nearest, without overflow for any value.
    private static func tenths(_ value: UInt64, shift: UInt64) -> UInt64 {
        let whole = value >> shift
        let rest = value & ((1 << shift) - 1)
        // The rest is below 2^60, so that sixteen times as much still fits.
        return whole * 10 + ((rest >> 4) * 10 + (1 << shift) >> 5) >> (shift - 4)
    }
}

/// Durations for people: `0.4 s`, `42 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`.
public enum HumanDuration {
    /// Returns `seconds` in the two largest units, `-` when it is not known.
    public static func format(seconds: Double?) -> String {
        guard let seconds, seconds.isFinite, seconds >= 0 else { return "-" }
        if seconds < 9.95 {
            let tenths = Int((seconds * 10).rounded())
            return "\(tenths / 10).\(tenths % 10) s"
        }
        let whole = Int(min(seconds, 1e15).rounded())
        switch whole {
        case ..<60: return "\(whole) s"
        case ..<3600: return "\(whole / 60) min \(padded(whole % 60)) s"
        case ..<86_400: return "\(whole / 3600) h \(padded(whole % 3600 / 60)) min"
        default: return "\(whole / 86_400) d \(whole % 86_400 / 3600) h"
        }
    }

    private static func padded(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
}
