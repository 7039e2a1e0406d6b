// SPDX-License-Identifier: GPL-3.0-or-later

internal import Synchronization
public import Verification

/// How far the reception of a clone is.
public final class ReceiverProgress: Sendable {
    /// How far the check of the images is.
    public let verification = VerificationProgress()
    private let total = Atomic<Int64>(0)
    private let sha256 = Atomic<Int64>(0)
    private let sha512 = Atomic<Int64>(0)

    /// Makes a progress of which nothing is done.
    public init() {}

    /// Sum of the lengths of the files whose digests are computed, in bytes.
    public var fileBytesTotal: Int64 { total.load(ordering: .relaxed) }

    /// Bytes of files of which both SHA-256 and SHA-512 are computed.
    public var fileBytesDone: Int64 { min(sha256.load(ordering: .relaxed), sha512.load(ordering: .relaxed)) }

    func begin(fileBytes: Int64) { total.store(fileBytes, ordering: .relaxed) }

    func add(_ bytes: Int64, _ algorithm: FileDigester.Algorithm) {
        switch algorithm {
        case .sha256: sha256.wrappingAdd(bytes, ordering: .relaxed)
        case .sha512: sha512.wrappingAdd(bytes, ordering: .relaxed)
        }
    }
}
