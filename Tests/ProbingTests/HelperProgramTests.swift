// SPDX-License-Identifier: GPL-3.0-or-later

internal import Probing
internal import TestSupport
internal import Testing

/// Helper programs: input, output, messages, status, and their end.
struct HelperProgramTests {
    private func run(
        _ script: String, input: String = "", seconds: Int = 60, goesOn: () -> Bool = { true }
    ) throws(HelperProgram.Failure) -> HelperProgram.Result {
        try HelperProgram.run(
            "sh", ["-c", script], input: Array(input.utf8), secondsAtMost: seconds, goesOn: goesOn)
    }

    @Test func everythingComesBack() throws {
        let result = try run("cat; echo one >&2; echo two >&2; exit 5", input: "secret\n")
        #expect(result.status == 5)
        #expect(String(decoding: result.output, as: UTF8.self) == "secret\n")
        #expect(String(decoding: result.errors, as: UTF8.self) == "one\ntwo\n")
        #expect(result.lastError == "two")
        #expect(try run("kill -9 $$").status == 128 + 9)
        #expect(try run("exit 0").lastError == nil)
    }

    @Test func largeInputThatNobodyReadsHoldsNobodyUp() throws {
        let large = String(repeating: "x", count: 3 << 20)
        #expect(try run("exit 0", input: large).status == 0)
        #expect(try run("wc -c", input: large).output == Array("\(3 << 20)\n".utf8))
    }

    @Test func whatCannotBeRunIsNamed() {
        #expect(throws: HelperProgram.Failure.notFound) {
            try HelperProgram.run("no-such-program", [], secondsAtMost: 1)
        }
        #expect(HelperProgram.find("sh")?.hasSuffix("/sh") == true)
        #expect(HelperProgram.find("/no/such/program") == nil)
    }

    /// What a program has started goes with it: mount(8) waits for mount.nfs(8).
    @Test func aKilledProgramTakesItsChildrenAlong() throws {
        let folder = try TemporaryFolder()
        // Held as long as the child lives.
        let lock = folder.file("lock")
        let script = "flock '\(lock)' sleep 1000 & wait"
        #expect(throws: HelperProgram.Failure.tookTooLong) { try run(script, seconds: 1) }
        var asked = 0
        #expect(throws: HelperProgram.Failure.cancelled) {
            try run(script) {
                asked += 1
                return asked < 3
            }
        }
        #expect(throws: HelperProgram.Failure.tookTooLong) { try run("yes") }
        #expect(try Tool.run("flock", ["--timeout", "60", lock, "true"]).status == 0)
    }
}
