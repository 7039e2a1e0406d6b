// SPDX-License-Identifier: GPL-3.0-or-later

internal import CSHA256

extension Digest {
    private static let canComputePairs = cs_can_digest_pairs() != 0

    /// Computes the digest of each of `contents`, two at the same time where they are equally long.
    ///
    /// Two then take little longer than one does, on processors with SHA instructions; elsewhere it is one by one.
    public static func each(of contents: [UnsafeRawBufferPointer]) -> [Digest] {
        var digests: [Digest] = []
        digests.reserveCapacity(contents.count)
        while digests.count < contents.count {
            let first = contents[digests.count]
            if canComputePairs, digests.count + 1 < contents.count, contents[digests.count + 1].count == first.count {
                digests += pair(first, contents[digests.count + 1])
            } else {
                digests.append(Digest(of: first))
            }
        }
        return digests
    }

    /// Computes the digests of two contents of one length, by instructions that the processor has.
    private static func pair(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) -> [Digest] {
        var bytes = [UInt8](repeating: 0, count: 2 * byteCount)
        bytes.withUnsafeMutableBufferPointer { bytes in
            guard let digests = bytes.baseAddress else { return }
            cs_digest_pair(first.baseAddress, second.baseAddress, first.count, digests, digests + byteCount)
        }
        return [bytes[..<byteCount], bytes[byteCount...]].compactMap { Digest(bytes: $0) }
    }
}
