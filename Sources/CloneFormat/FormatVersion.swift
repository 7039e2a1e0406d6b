// SPDX-License-Identifier: GPL-3.0-or-later

/// Version of one of our formats: a reader refuses a newer major version and ignores a newer minor one.
public struct FormatVersion: Sendable, Hashable, Codable, CustomStringConvertible {
    /// Changed when an older reader would misread.
    public var major: Int
    /// Changed when something was added that an older reader may ignore.
    public var minor: Int

    /// Makes the version `major.minor`.
    public init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// The written form, `1.0`.
    public var description: String { "\(major).\(minor)" }

    /// Reads the written form.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let parts = try container.decode(String.self).split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let major = Int(parts[0]), let minor = Int(parts[1]), major >= 0, minor >= 0 else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a version such as 1.0")
        }
        self.init(major: major, minor: minor)
    }

    /// Writes the written form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
