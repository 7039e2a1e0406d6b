// SPDX-License-Identifier: GPL-3.0-or-later

internal import CISCSI

/// The commands that are sent to logical units: every one only reads, and there is no way to send another.
///
/// SPC-4 and SBC-3.
enum SCSICommand: Sendable, Hashable {
    case testUnitReady
    /// Standard data without a page, else a page of vital product data.
    case inquiry(page: UInt8?)
    case reportLUNs
    case readCapacity10
    case readCapacity16
    case getLBAStatus(block: UInt64)
    case read16(block: UInt64, count: UInt32)

    /// Most bytes that answers other than of READ have here.
    static let longestAnswer = 64 << 10

    /// Bytes that the answer may have.
    func answerLength(blockSize: Int) -> Int {
        switch self {
        case .testUnitReady: 0
        // One byte of length in old targets: more than 255 confuses some.
        case .inquiry(let page): page == nil ? 96 : 255
        case .readCapacity10: 8
        case .readCapacity16: 32
        case .reportLUNs, .getLBAStatus: Self.longestAnswer
        case .read16(_, let count): Int(count) * blockSize
        }
    }

    /// The command descriptor block.
    func descriptorBlock(blockSize: Int) -> [UInt8] {
        let length = UInt32(truncatingIfNeeded: answerLength(blockSize: blockSize))
        switch self {
        case .testUnitReady: return [UInt8](repeating: 0, count: 6)
        case .inquiry(let page):
            return [0x12, page == nil ? 0 : 1, page ?? 0] + Self.bytes(UInt16(truncatingIfNeeded: length)) + [0]
        case .reportLUNs: return [0xa0, 0, 0, 0, 0, 0] + Self.bytes(length) + [0, 0]
        case .readCapacity10: return [0x25] + [UInt8](repeating: 0, count: 9)
        case .readCapacity16: return [0x9e, 0x10] + Self.bytes(UInt64(0)) + Self.bytes(length) + [0, 0]
        case .getLBAStatus(let block): return [0x9e, 0x12] + Self.bytes(block) + Self.bytes(length) + [0, 0]
        case .read16(let block, let count): return [0x88, 0] + Self.bytes(block) + Self.bytes(count) + [0, 0]
        }
    }

    /// What the message of a failure calls it.
    var name: String {
        switch self {
        case .testUnitReady: "TEST UNIT READY"
        case .inquiry(nil): "INQUIRY"
        case .inquiry(let page?): "INQUIRY, page 0x" + String(page, radix: 16)
        case .reportLUNs: "REPORT LUNS"
        case .readCapacity10: "READ CAPACITY(10)"
        case .readCapacity16: "READ CAPACITY(16)"
        case .getLBAStatus: "GET LBA STATUS"
        case .read16: "READ(16)"
        }
    }

    /// Makes the library's task; nil when there is no memory.
    func makeTask(blockSize: Int) -> UnsafeMutablePointer<scsi_task>? {
        var block = descriptorBlock(blockSize: blockSize)
        let length = Int32(clamping: answerLength(blockSize: blockSize))
        let direction = length == 0 ? SCSI_XFER_NONE : SCSI_XFER_READ
        return scsi_create_task(Int32(block.count), &block, Int32(direction.rawValue), length)
    }

    private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }
}
