// SPDX-License-Identifier: GPL-3.0-or-later

/// A GNU ddrescue mapfile of a captured disk: what is bad, and that all else is done.
///
/// What was skipped as unused counts as done: there is nothing to rescue. The manual of GNU ddrescue 1.27, "Mapfile
/// structure".
public struct RescueMap: Sendable, Hashable {
    /// Length of the disk in bytes.
    public var diskLength: Int64
    /// Ranges that could not be read, ascending, apart.
    public var bad: [ByteRange]

    /// Makes a map.
    public init(diskLength: Int64, bad: [ByteRange]) {
        self.diskLength = diskLength
        self.bad = bad
    }

    /// The file's text.
    public var text: String {
        var lines = [
            "# Mapfile. Created by coldclone",
            "# current_pos  current_status  current_pass",
            "\(Self.hex(diskLength))     +               1",
            "#      pos        size  status",
        ]
        var position: Int64 = 0
        for range in bad {
            if range.offset > position { lines.append(Self.line(position, range.offset - position, "+")) }
            lines.append(Self.line(range.offset, range.length, "-"))
            position = range.offset + range.length
        }
        if position < diskLength { lines.append(Self.line(position, diskLength - position, "+")) }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func line(_ offset: Int64, _ length: Int64, _ status: String) -> String {
        "\(hex(offset))  \(hex(length))  \(status)"
    }

    private static func hex(_ value: Int64) -> String {
        let digits = String(value, radix: 16, uppercase: true)
        return "0x" + String(repeating: "0", count: max(8 - digits.count, 0)) + digits
    }
}
