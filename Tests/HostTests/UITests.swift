// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// `coldclone ui` as it is shipped: what the live system's consoles show.
@Suite(.enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"))
struct UITests {
    private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    /// Returns the path of a recorded machine, unpacked.
    private func recording(_ name: String, in folder: TemporaryFolder) throws -> String {
        let path = folder.file("\(name).tar")
        try Tool.output("sh", ["-c", "gunzip -c '\(Self.root)/Tests/Fixtures/sysroots/\(name).tar.gz' >'\(path)'"])
        return path
    }

    /// Columns that `line` takes on a terminal.
    private func width(_ line: Substring) -> Int {
        line.unicodeScalars.reduce(0) { $0 + ($1.value >= 0x1100 ? 2 : 1) }
    }

    @Test(arguments: ["megasas", "withheld", "usb3", "nvme", "multipath"], ["en", "ja"])
    func everyMachineFitsAScreen(name: String, language: String) throws {
        let folder = try TemporaryFolder()
        let line = try SampleContent.write(Array("coldclone.language=\(language)".utf8), to: folder.file("cmdline"))
        let text = try Tool.output(
            Programs.agent, ["ui", "--sysroot", recording(name, in: folder), "--cmdline", line])
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.allSatisfy { width($0) <= 80 }, "\(text)")
        #expect(lines.count <= 24, "\(text)")
        #expect(text.contains(language == "ja" ? "次のコマンド" : "next\n"))
        #expect(text.contains("  coldclone plan all "))
        #expect(text.contains("LAB0001"))
    }

    @Test func theWorstFindingIsOnTheScreen() throws {
        let folder = try TemporaryFolder()
        let text = try Tool.output(
            Programs.agent, ["ui", "--sysroot", recording("withheld", in: folder), "--cmdline", "/dev/null"])
        #expect(text.contains("CRITICAL 0000:00:04.0: no driver drives MegaRAID SAS 1078"))
    }

    @Test func aWrongKeyIsToldAndStopsNobody() throws {
        let folder = try TemporaryFolder()
        let line = try SampleContent.write(Array("coldclone.mdoe=auto".utf8), to: folder.file("cmdline"))
        let text = try Tool.output(
            Programs.agent, ["ui", "--sysroot", recording("ahci", in: folder), "--cmdline", line])
        #expect(text.contains("did you mean mode?") && text.contains("next\n"))
    }

    /// At a terminal there is a shell with job control, and its end shows the screen again.
    @Test(.enabled(if: Tool.isInstalled("python3", "bash"), "python3 is not installed"))
    func theShellsEndShowsTheScreenAgain() throws {
        let folder = try TemporaryFolder()
        let script = """
            import os, pty, signal, sys
            pid, terminal = pty.fork()
            if pid == 0:
                os.environ.pop("TERM", None)
                os.execv(sys.argv[1], sys.argv[1:])
            signal.alarm(120)
            text, sent = b"", False
            while text.count(b"coldclone plan all") < 2:
                text += os.read(terminal, 65536)
                if not sent and b"root shell" in text:
                    os.write(terminal, b"echo mark-$((40 + 2)) $TERM; stty size; sleep 60 & kill %1; exit\\n")
                    sent = True
            os.kill(pid, signal.SIGKILL)
            sys.stdout.buffer.write(text)
            """
        let text = try Tool.output(
            "python3",
            ["-c", script, Programs.agent, "ui", "--sysroot", recording("ahci", in: folder), "--cmdline", "/dev/null"])
        #expect(text.contains("mark-42 vt220") && text.contains("24 80"), "\(text)")
        #expect(!text.contains("no job control"))
    }

    @Test(.enabled(if: Tool.isInstalled("python3", "bash"), "python3 is not installed"))
    func inShellModeThereIsOnlyTheShell() throws {
        let folder = try TemporaryFolder()
        let line = try SampleContent.write(Array("coldclone.mode=shell".utf8), to: folder.file("cmdline"))
        #expect(try Tool.output(Programs.agent, ["ui", "--cmdline", line]).isEmpty)
    }
}
