// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// The structures of an SMBIOS table that matter here: memory devices and the management controller.
///
/// DMTF DSP0134: each structure has its type at 0, its length at 1, a handle at 2 (16 bits, little-endian), and is
/// followed by texts that end in two zeros.
struct SMBIOSTable: Sendable {
    /// Longest table that is read, in bytes.
    static let limit = 1 << 20

    /// Sum of the memory devices (type 17) in MiB; nil when none tells its size.
    private(set) var memoryInMiB: Int?
    /// Interface and release of IPMI (type 38).
    private(set) var managementControllers: [(interface: String, version: String)] = []

    /// Reads `table`; what is damaged ends it.
    init(_ table: [UInt8]) {
        Self.walk(table) { type, structure in
            switch type {
            case 17: addMemory(structure)
            case 38: addController(structure)
            default: break
            }
        }
    }

    /// Returns the table with those structures only, and none of their texts, which hold serial numbers.
    static func reduced(_ table: [UInt8]) -> [UInt8] {
        var kept: [UInt8] = []
        walk(table) { type, structure in
            if type == 17 || type == 38 { kept += structure + [0, 0] }
        }
        return kept
    }

    private static func walk(_ table: [UInt8], _ body: (UInt8, [UInt8]) -> Void) {
        var position = 0
        while table.count - position >= 4 {
            let length = Int(table[position + 1])
            guard length >= 4, length <= table.count - position else { return }
            body(table[position], Array(table[position..<position + length]))
            // The texts end in two zeros, also when there are none.
            var end = position + length
            while end + 1 < table.count, table[end] != 0 || table[end + 1] != 0 { end += 1 }
            if table[position] == 127 { return }
            position = end + 2
        }
    }

    private static func integer<Integer: FixedWidthInteger>(_ structure: [UInt8], _ offset: Int) -> Integer? {
        structure.withUnsafeBytes { $0.littleEndian(at: offset, as: Integer.self) }
    }

    /// 7.18: size at 12 in MiB, or KiB with bit 15; 0 no module, 0xffff unknown, 0x7fff: the extended size at 28.
    private mutating func addMemory(_ structure: [UInt8]) {
        guard let size: UInt16 = Self.integer(structure, 12), size != 0, size != 0xffff else { return }
        let mebibytes: Int
        if size == 0x7fff {
            guard let extended: UInt32 = Self.integer(structure, 28) else { return }
            mebibytes = Int(extended & 0x7fff_ffff)
        } else {
            mebibytes = size & 0x8000 != 0 ? Int(size & 0x7fff) >> 10 : Int(size)
        }
        memoryInMiB = (memoryInMiB ?? 0) + mebibytes
    }

    /// 7.39: interface at 4, release at 5, a digit of BCD each side of the point.
    private mutating func addController(_ structure: [UInt8]) {
        guard structure.count >= 6 else { return }
        let interfaces: [UInt8: String] = [1: "kcs", 2: "smic", 3: "bt", 4: "ssif"]
        managementControllers.append(
            (interfaces[structure[4]] ?? "unknown", "\(structure[5] >> 4).\(structure[5] & 0xf)"))
    }
}
