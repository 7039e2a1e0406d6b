// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import SystemPackage

extension Errno {
    /// The calling thread's error number, as the last failed system call left it.
    ///
    /// errno(3).
    static var current: Errno { Errno(rawValue: Glibc.errno) }
}
