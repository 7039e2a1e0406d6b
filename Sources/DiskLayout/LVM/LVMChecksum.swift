// SPDX-License-Identifier: GPL-3.0-or-later

internal import CZlib

/// The checksum of LVM2's labels and metadata: the CRC-32 of zlib with another start and without its last inversion.
///
/// LVM2 lib/misc/crc.h, INITIAL_CRC.
func lvmChecksum(_ parts: ArraySlice<UInt8>...) -> UInt32 {
    // zlib inverts at both ends, so that an inverted start gives the state that is wanted.
    var crc = uLong(~UInt32(0xf597_a6cf))
    for part in parts {
        crc = part.withUnsafeBytes { crc32(crc, $0.bindMemory(to: UInt8.self).baseAddress, uInt($0.count)) }
    }
    return ~UInt32(truncatingIfNeeded: crc)
}
