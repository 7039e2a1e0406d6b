// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import TestSupport
internal import Testing
internal import Verification

/// What the folders of clones are called.
struct CloneNameTests {
    @Test func machinesOfOneNameDoNotMeet() throws {
        let run = try BaseRun(SampleContent.bytes(.random, length: 4096))
        // Faster than the clock counts.
        let clones = try (0..<6).map { _ in try run.capture() }
        #expect(Set(clones.map(\.folder)).count == 6)
        for clone in clones {
            #expect(clone.folder == "\(run.target)/\(clone.manifest.cloneId)")
            #expect(clone.manifest.cloneId.wholeMatch(of: /test-\d{8}T\d{6}Z/) != nil)
            #expect(try CloneVerification(folder: clone.folder).run().verdict == .verified)
        }
    }
}
