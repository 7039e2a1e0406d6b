// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import TestSupport
internal import Testing

/// The live system in machines that QEMU emulates: all suites in here, one test after the other.
///
/// A few run with the slow tier; all with COLDCLONE_LAB_ALL in the environment, which Tests/run --lab-all sets.
@Suite(
    .serialized, .enabled(if: LabMachine.isSlowTier, "the slow tier is left out"),
    .enabled(if: LiveSystem.isBuilt, "there is no ISO: image-build/iso makes it, or COLDCLONE_ISO names it"),
    .enabled(if: LiveMachine.isAvailable, "QEMU, OVMF, ganesha, dnsmasq or root's privileges are missing"))
enum LiveLab {
    /// What takes most of an hour: Tests/run leaves it out by name, so that nothing is called skipped.
    @Suite(.enabled(if: LiveLab.isComplete, "COLDCLONE_LAB_ALL is not set: see Tests/run --lab-all"))
    enum Complete {}

    /// Whether every boot mode and scenario is wanted.
    static let isComplete = getenv("COLDCLONE_LAB_ALL") != nil
}
