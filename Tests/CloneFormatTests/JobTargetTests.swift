// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Testing

/// Targets and disks as a job names them.
struct JobTargetTests {
    @Test func anExportIsTakenApart() throws {
        guard case .nfs(let export) = try #require(JobTarget("nfs://[fd00::1]:2050/srv/clones?vers=4.2,nconnect=4"))
        else {
            Issue.record("it is no export")
            return
        }
        #expect(export.host == "fd00::1" && export.port == 2050 && export.path == "/srv/clones")
        #expect(export.options == ["vers=4.2", "nconnect=4"])
    }

    @Test(arguments: [
        "nfs://server/export", "nfs://10.0.0.1:2049/a/b?soft,timeo=50", "nfs://[fd00::1]/x", "usb:MY DISK",
        "usb:5a4e-11ef", "dir:/mnt/nfs", "dir:/",
    ])
    func whatIsReadIsWrittenTheSame(text: String) { #expect(JobTarget(text)?.description == text) }

    @Test func foldersHaveNoSlashAtTheirEnd() { #expect(JobTarget("dir:/mnt//") == .folder("/mnt")) }

    @Test(
        arguments: [
            ("all", "all"), ("sda", "/dev/sda"), ("cciss/c0d0", "/dev/cciss/c0d0"), ("/dev/nvme0n1", "/dev/nvme0n1"),
            ("/srv/disk.img", "/srv/disk.img"), ("iscsi://h/iqn.x:y/1", "iscsi://h/iqn.x:y/1"),
            ("serial:A:B", "serial:A:B"), ("wwn:naa.5000", "wwn:naa.5000"), ("../sda", nil), ("-x", nil),
            ("uuid:x", nil),
            ("", nil), ("a\u{1B}b", nil),
        ] as [(String, String?)])
    func disksAreNamed(text: String, expected: String?) { #expect(JobDisks(text)?.description == expected) }

    @Test func outcomesAreReadBack() throws {
        var outcome = RunOutcome(state: .failed, exitCode: .failed, startedAt: "2026-11-22T10:30:00Z")
        outcome.reason = "the target is too small"
        #expect(try RunOutcome(opening: try outcome.encoded()) == outcome)
        #expect(outcome.line == "failed: the target is too small")
        let bytes = try outcome.encoded()
        for length in 0..<bytes.count - 1 {
            #expect(throws: FormatError.self) { try RunOutcome(opening: Array(bytes.prefix(length))) }
        }
    }
}
