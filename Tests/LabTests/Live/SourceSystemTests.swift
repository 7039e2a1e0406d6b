// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

extension LiveLab.Complete {
    /// The systems that are cloned boot to their login prompt themselves: what their clones do not, is the clone's.
    struct SourceSystemTests {
        @Test(arguments: [SourceSystem.lvm, .uefi])
        func aSourceSystemBoots(system: SourceSystem) throws {
            try system.boot(try system.images(), named: "\(system) itself", in: try LabNetwork())
        }
    }
}
