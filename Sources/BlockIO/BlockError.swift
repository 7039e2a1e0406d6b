// SPDX-License-Identifier: GPL-3.0-or-later

public import SystemPackage

/// A failed operation on a device, a file or an image: what, where, and why.
public struct BlockError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The operation that failed, as the verb of the message.
    public enum Operation: String, Sendable, Hashable {
        case open, create, read, write, seek, query, resize, synchronize, close, rename, remove
        case setReadOnly = "set read-only"
        case startThread = "start a thread for"
    }

    /// Why it failed.
    public enum Cause: Sendable, Hashable {
        /// The kernel's answer.
        case system(Errno)
        /// Fewer bytes came than the source's length promised.
        case unexpectedEnd
        /// The request itself is not possible, as the text says.
        case invalid(String)
    }

    /// What was tried.
    public var operation: Operation
    /// The file or device.
    public var path: String
    /// First byte of the failed range, where there is one.
    public var offset: Int64?
    /// Bytes asked for, where there is a range.
    public var length: Int?
    /// Why it failed.
    public var cause: Cause

    /// Makes an error; `offset` and `length` are in bytes.
    public init(_ operation: Operation, _ path: String, offset: Int64? = nil, length: Int? = nil, _ cause: Cause) {
        self.operation = operation
        self.path = path
        self.offset = offset
        self.length = length
        self.cause = cause
    }

    /// The message: `cannot read /dev/sdb at byte 1048576 (65536 bytes): Input/output error`.
    public var description: String {
        var text = "cannot \(operation.rawValue) \(path)"
        if let offset { text += " at byte \(offset)" }
        if let length { text += " (\(length) bytes)" }
        switch cause {
        case .system(let errno): return text + ": \(errno)"
        case .unexpectedEnd: return text + ": it ends before its own length"
        case .invalid(let reason): return text + ": \(reason)"
        }
    }

    /// Whether there is nothing at the path.
    public var isNotFound: Bool { cause == .system(.noSuchFileOrDirectory) }

    /// Whether something stands at the path that was to be created.
    public var isAlreadyThere: Bool { cause == .system(.fileExists) }

    /// Whether the kernel does what was tried, but not with these numbers.
    public var isInvalidArgument: Bool { cause == .system(.invalidArgument) }

    /// Whether the kernel forbids this user what was tried.
    public var isForbidden: Bool { cause == .system(.permissionDenied) || cause == .system(.notPermitted) }

    /// Whether a read failed for what lies at its place only, so that others may succeed.
    ///
    /// A medium error (EIO, and ENODATA for direct reads), a protection error (EILSEQ), a target's error (EREMOTEIO),
    /// a command that timed out (ETIMEDOUT). Linux block/blk-core.c, blk_errors.
    public var isUnreadableRange: Bool {
        guard operation == .read, case .system(let errno) = cause else { return false }
        return [.ioError, .noData, .illegalByteSequence, .timedOut, Errno(rawValue: 121)].contains(errno)
    }

    /// What the technician can do about it, where that is known.
    public var hint: String? {
        guard case .system(let errno) = cause else {
            return cause == .unexpectedEnd ? "the source changed or shrank while it was read" : nil
        }
        switch errno {
        case .noSpace, .diskQuotaExceeded: return "free space on the target, or choose another target"
        case .readOnlyFileSystem:
            return operation == .write || operation == .synchronize
                ? "the target turned read-only: was it unplugged, or is its file system damaged?"
                : "mount the target read-write"
        case .permissionDenied, .notPermitted: return "run as root"
        case .noSuchFileOrDirectory: return "check the path"
        case .notDirectory: return "name the folder, not a file"
        case .fileExists: return "nothing is ever overwritten: choose another name or target"
        case .ioError where operation == .read, .noData where operation == .read:
            return "a bad sector or a failing disk: check cables and SMART health"
        case .ioError: return "the target failed: check its cable, network and free space"
        case .staleNFSFileHandle: return "the NFS export went away: mount it again"
        case .noSuchAddressOrDevice, .operationNotSupportedByDevice:
            return "the device disappeared: check cable and power"
        default: return nil
        }
    }
}

/// Calls `body` until it is not interrupted by a signal, and turns a -1 into the `Errno` left behind.
///
/// errno(3).
@inline(__always)
func retryingOnInterrupt<Result: FixedWidthInteger & SignedInteger>(
    _ body: () -> Result
) -> Swift.Result<Result, Errno> {
    while true {
        let result = body()
        if result != -1 { return .success(result) }
        let error = Errno.current
        if error != .interrupted { return .failure(error) }
    }
}
