// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// What a logical unit says of a command that it did not carry out as asked.
///
/// SPC-4, 4.5.
public struct SCSISense: Sendable, Hashable, CustomStringConvertible {
    /// The kind of failure.
    public enum Key: Sendable, Hashable {
        case noSense, recoveredError, notReady, mediumError, hardwareError, illegalRequest, unitAttention, dataProtect
        case blankCheck, vendorSpecific, copyAborted, abortedCommand, volumeOverflow, miscompare, completed
        /// One that the standard reserves.
        case unknown(UInt8)
    }

    /// The kind of failure.
    public var key: Key
    /// Additional sense code and its qualifier, in one number: 0x1100 is an unrecovered read error.
    public var code: UInt16
    /// The block that failed, where the unit says so.
    public var block: UInt64?

    private static let keys: [(Key, String)] = [
        (.noSense, "no sense"), (.recoveredError, "recovered error"), (.notReady, "not ready"),
        (.mediumError, "medium error"), (.hardwareError, "hardware error"), (.illegalRequest, "illegal request"),
        (.unitAttention, "unit attention"), (.dataProtect, "data protect"), (.blankCheck, "blank check"),
        (.vendorSpecific, "vendor specific"), (.copyAborted, "copy aborted"), (.abortedCommand, "aborted command"),
    ]
    private static let upperKeys: [UInt8: (Key, String)] = [
        13: (.volumeOverflow, "volume overflow"), 14: (.miscompare, "miscompare"), 15: (.completed, "completed"),
    ]

    /// Makes sense data by hand.
    init(key: Key, code: UInt16, block: UInt64? = nil) {
        self.key = key
        self.code = code
        self.block = block
    }

    /// Reads sense data in fixed or descriptor format; nil when they are neither.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard let format = bytes.first.map({ $0 & 0x7f }) else { return nil }
        switch format {
        case 0x70, 0x71:
            guard bytes.count > 2 else { return nil }
            key = Self.key(bytes[2] & 0x0f)
            code = bytes.bigEndian(at: 12) ?? 0
            if bytes[0] & 0x80 != 0, let block: UInt32 = bytes.bigEndian(at: 3) { self.block = UInt64(block) }
        case 0x72, 0x73:
            guard bytes.count > 3 else { return nil }
            key = Self.key(bytes[1] & 0x0f)
            code = bytes.bigEndian(at: 2) ?? 0
            var position = 8
            // The information descriptor has type 0 and length 10.
            while position + 2 <= bytes.count {
                if bytes[position] == 0, position + 12 <= bytes.count, bytes[position + 2] & 0x80 != 0 {
                    block = bytes.bigEndian(at: position + 4)
                    break
                }
                position += 2 + Int(bytes[position + 1])
            }
        default: return nil
        }
    }

    private static func key(_ raw: UInt8) -> Key {
        Int(raw) < keys.count ? keys[Int(raw)].0 : upperKeys[raw]?.0 ?? .unknown(raw)
    }

    /// The failure in words, with the code: `medium error (sense code 0x1100)`.
    public var description: String {
        let all = Self.keys + Self.upperKeys.values
        let name = all.first { $0.0 == key }?.1 ?? "unknown sense key"
        return "\(name) (sense code 0x\(String(code, radix: 16)))"
    }

    /// Whether what is known of the unit may be wrong now: its capacity, its identity.
    var announcesChange: Bool {
        key == .unitAttention && [0x2a09, 0x3f03, 0x3f0e, 0x3f05].contains(code)
    }
}
