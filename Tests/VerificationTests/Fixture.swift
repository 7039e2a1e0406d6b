// SPDX-License-Identifier: GPL-3.0-or-later

import BlockIO
import CloneFormat
import TestSupport
import Verification

/// A disk with everything that a check must tell apart.
///
/// Chunks: 0 data, 1 hole, 2 data, 3 zeros that are written, 4 data, 5 hole, 6 data of 1536 bytes.
func mixedDisk(_ name: String, seed: UInt64 = 1, lost: Set<Int> = []) -> CloneDisk {
    let zeros = [UInt8](repeating: 0, count: Chunk.size)
    var content: [UInt8] = []
    for chunk in 0..<6 {
        content +=
            [1, 3, 5].contains(chunk)
            ? zeros : SampleContent.bytes(.random, length: Chunk.size, seed: seed &* 100 &+ UInt64(chunk))
    }
    content += SampleContent.bytes(.random, length: 1536, seed: seed)
    return CloneDisk(name: name, content: content, writtenZeros: [3], lost: lost)
}

/// A disk of which little must be read: for tests that verify very often.
func smallDisk(_ name: String, seed: UInt64 = 1) -> CloneDisk {
    CloneDisk(name: name, content: SampleContent.bytes(.random, length: 2048, seed: seed))
}

/// Verifies `clone`.
func verify(
    _ clone: CloneFolder, _ options: CloneVerification.Options = CloneVerification.Options()
) throws -> CloneReport {
    try CloneVerification(folder: clone.path, options: options).run()
}
