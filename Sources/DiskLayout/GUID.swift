// SPDX-License-Identifier: GPL-3.0-or-later

/// A GUID as UEFI stores it: the first three fields little-endian, the rest in order.
///
/// UEFI 2.10, appendix A.
public struct GUID: Sendable, Hashable, CustomStringConvertible {
    /// The 16 bytes as they stand on the disk; a shorter array is filled with zeros, a longer one cut.
    public let bytes: [UInt8]

    /// Makes a GUID of the bytes on the disk.
    public init(bytes: some Sequence<UInt8>) {
        let start = Array(bytes.prefix(16))
        self.bytes = start + [UInt8](repeating: 0, count: 16 - start.count)
    }

    /// Whether it is all zeros: a type of that value marks an unused entry.
    public var isZero: Bool { bytes.allSatisfy { $0 == 0 } }

    /// The usual text, in capitals: `C12A7328-F81F-11D2-BA4B-00A0C93EC93B`.
    public var description: String {
        let fields = [[3, 2, 1, 0], [5, 4], [7, 6], [8, 9], [10, 11, 12, 13, 14, 15]]
        return fields.map { $0.map { hex(bytes[$0], width: 2, uppercase: true) }.joined() }.joined(separator: "-")
    }
}
