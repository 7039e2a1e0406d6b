// SPDX-License-Identifier: GPL-3.0-or-later

/// Exit codes of both programs; sysexits.h for `usage`, 128 + SIGINT for `cancelled`.
public enum ExitCode: Int32, Sendable, Hashable {
    /// Done.
    case done = 0
    /// Failed; the message says what, where and a hint.
    case failed = 1
    /// Done, with ranges that could not be read.
    case degraded = 3
    /// Verification failed: digest mismatch or damaged image.
    case verificationFailed = 4
    /// The command line is wrong.
    case usage = 64
    /// Cancelled; nothing that was finished is lost.
    case cancelled = 130
}
