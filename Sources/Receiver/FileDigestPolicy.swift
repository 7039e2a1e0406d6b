// SPDX-License-Identifier: GPL-3.0-or-later

/// Which files' SHA-256 and SHA-512 are computed for the receipt.
public enum FileDigestPolicy: String, Sendable, Hashable, CaseIterable {
    /// All but files with more than 64 GiB of holes: their zeros would be hashed for hours and prove nothing new.
    case auto
    /// All.
    case always
    /// None.
    case never

    /// Bytes of holes from which on `auto` leaves a file out.
    static let mostHoles: Int64 = 64 << 30
}
