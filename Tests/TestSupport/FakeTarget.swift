// SPDX-License-Identifier: GPL-3.0-or-later

/// A target that speaks just enough iSCSI to be captured, and lets a test bend any of its answers.
///
/// RFC 7143, 11; SPC-4; SBC-3. Its disk has 2048 blocks of 512 bytes, each byte the low byte of its block's number.
public struct FakeTarget: Sendable {

    /// A request's parts.
    public struct Request {
        /// All of it, data included.
        public var bytes: [UInt8]
        /// What kind of request it is.
        public var opcode: UInt8 { bytes[0] & 0x3f }
        /// The command descriptor block's first byte, where it is a SCSI command.
        public var operation: UInt8? { opcode == 0x01 ? bytes[32] : nil }
        /// The initiator task tag, which an answer repeats.
        public var tag: ArraySlice<UInt8> { bytes[16..<20] }
        /// The first block of a READ(16).
        public var block: Int { bytes[34..<42].reduce(0) { $0 << 8 | Int($1) } }
        /// The number of blocks of a READ(16).
        public var count: Int { bytes[42..<46].reduce(0) { $0 << 8 | Int($1) } }
    }

    /// Bends an answer: gets the right one, returns what is sent, or nil to hang up.
    public typealias Bend = @Sendable (_ request: Request, _ answer: [UInt8]) -> [UInt8]?

    /// What listens.
    public let server: ScriptedServer

    /// Starts a target whose answers `bend` has the last word on.
    public init(_ bend: @escaping Bend) throws {
        server = try ScriptedServer(
            headerLength: 48, restLength: { (Int($0[5]) << 16 | Int($0[6]) << 8 | Int($0[7]) + 3) / 4 * 4 }
        ) { _ in
            var number: UInt32 = 1
            return { bytes in
                let request = Request(bytes: bytes)
                let answer = Self.answer(to: request, number: number)
                number += 1
                return bend(request, answer)
            }
        }
    }

    /// The disk's URL.
    public var url: String { "iscsi://127.0.0.1:\(server.port)/iqn.2026-11.org.example:fake/1" }

    private static func answer(to request: Request, number: UInt32) -> [UInt8] {
        switch request.opcode {
        case 0x03:
            // Whatever stage was proposed is granted.
            var header = header(0x23, request, number)
            header[1] = request.bytes[1]
            header.replaceSubrange(8..<14, with: request.bytes[8..<14])
            header[15] = 1
            // In the operational stage every key wants its answer.
            return request.bytes[1] & 0x0c == 0x04 ? data(header, Array("HeaderDigest=None\0".utf8)) : header
        case 0x04:
            return data(
                header(0x24, request, number),
                Array("TargetName=iqn.2026-11.org.example:fake\0TargetAddress=127.0.0.1:3260,1\0".utf8))
        case 0x06: return header(0x26, request, number)
        case 0x00: return header(0x20, request, number)
        default: break
        }
        switch (request.bytes[32], request.bytes[33], request.bytes[34]) {
        case (0x12, 0, _):
            return dataIn(request, number, [0, 0, 5, 2, 91, 0, 0, 0] + Array("FAKE    Disk            1   ".utf8))
        case (0x12, 1, 0x80): return dataIn(request, number, [0, 0x80, 0, 4] + Array("S123".utf8))
        case (0x12, 1, 0x83):
            return dataIn(request, number, [0, 0x83, 0, 12, 1, 3, 0, 8, 0x50, 1, 2, 3, 4, 5, 6, 7])
        case (0x9e, 0x10, _):
            return dataIn(request, number, [0, 0, 0, 0, 0, 0, 7, 0xff, 0, 0, 2, 0] + [UInt8](repeating: 0, count: 20))
        case (0xa0, _, _): return dataIn(request, number, [0, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
        case (0x88, _, _):
            let content = (request.block..<request.block + request.count).flatMap {
                [UInt8](repeating: UInt8(truncatingIfNeeded: $0), count: 512)
            }
            return dataIn(request, number, content)
        default: return sense(request, number, key: 5, code: 0x2000)
        }
    }

    /// A header with the request's tag, all windows open.
    public static func header(_ opcode: UInt8, _ request: Request, _ number: UInt32) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: 48)
        header[0] = opcode
        header[1] = 0x80
        header.replaceSubrange(16..<20, with: request.tag)
        func put(_ value: UInt32, _ offset: Int) {
            withUnsafeBytes(of: value.bigEndian) { header.replaceSubrange(offset..<offset + 4, with: $0) }
        }
        put(number, 24)
        let command = request.bytes[24..<28].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        // Immediate requests do not count.
        put(request.bytes[0] & 0x40 == 0 ? command &+ 1 : command, 28)
        put(command &+ 64, 32)
        return header
    }

    /// A header with data behind it, padded.
    public static func data(_ header: [UInt8], _ data: [UInt8]) -> [UInt8] {
        var header = header
        header[5] = UInt8(truncatingIfNeeded: data.count >> 16)
        header[6] = UInt8(truncatingIfNeeded: data.count >> 8)
        header[7] = UInt8(truncatingIfNeeded: data.count)
        return header + data + [UInt8](repeating: 0, count: (4 - data.count % 4) % 4)
    }

    /// Data-In with the status GOOD.
    public static func dataIn(_ request: Request, _ number: UInt32, _ content: [UInt8]) -> [UInt8] {
        var header = header(0x25, request, number)
        header[1] = 0x81
        return data(header, content)
    }

    /// A SCSI Response with CHECK CONDITION.
    public static func sense(_ request: Request, _ number: UInt32, key: UInt8, code: UInt16, block: UInt32? = nil)
        -> [UInt8]
    {
        var header = header(0x21, request, number)
        header[3] = 2
        var sense = [UInt8](repeating: 0, count: 18)
        sense[0] = block == nil ? 0x70 : 0xf0
        sense[2] = key
        sense[7] = 10
        sense[12] = UInt8(code >> 8)
        sense[13] = UInt8(truncatingIfNeeded: code)
        if let block { withUnsafeBytes(of: block.bigEndian) { sense.replaceSubrange(3..<7, with: $0) } }
        return data(header, [0, 18] + sense)
    }
}
