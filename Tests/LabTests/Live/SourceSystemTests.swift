// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

extension LiveLab {
    /// The systems that are cloned boot to their login prompt themselves: what their clones do not, is the clone's.
    @Suite(.enabled(if: LiveLab.isComplete, "COLDCLONE_LAB_ALL is not set: see Tests/run --lab-all"))
    struct SourceSystemTests {
        @Test(arguments: [SourceSystem.lvm, .uefi])
        func aSourceSystemBoots(system: SourceSystem) throws {
            try system.boot(try system.images(), named: "\(system) itself", in: try LabNetwork())
        }
    }
}
