// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing
internal import Verification

/// The domain beside the manifest: changed, missing, unknown.
@Suite struct DomainTests {
    @Test func aChangedOrMissingDomainIsFound() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        let text = Array(DomainXML(cloneId: "a", machine: Machine(), disks: []).text.utf8)
        try clone.reseal { $0.domainDigest = Digest(of: text) }
        #expect(try verify(clone).problems.map(\.kind) == [.missingFile])
        try clone.replace(DomainXML.fileName, with: text)
        #expect(try verify(clone).verdict == .verified)
        try clone.flip(DomainXML.fileName, at: 40)
        let report = try verify(clone)
        #expect(report.verdict == .failed)
        #expect(report.problems.map(\.kind) == [.domain])
    }

    @Test func aCloneWithoutDomainIsWhole() throws {
        let clone = try CloneFolder([smallDisk("sda")])
        #expect(try verify(clone).verdict == .verified)
    }
}
