// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

extension LiveLab {
    /// An unattended run ends with the receiver's verdict, or says why it has none.
    @Suite(.enabled(if: LiveLab.isComplete, "COLDCLONE_LAB_ALL is not set: see Tests/run --lab-all"))
    struct ReceiverTests {
        private func machine(_ name: String, _ sources: SourceDisks, _ lines: [String]) throws -> LiveMachine {
            // Secrets have no place on the kernel command line: all of it is the job's.
            LiveMachine(
                name: name, boot: .kernel(try LiveSystem(), arguments: [], root: .cd), disks: sources.disks,
                devices: LabHardware.megasas(1), job: LabRun.job(lines + ["free_space: keep"]))
        }

        @Test func theRunEndsWithTheVerdict() throws {
            let sources = try SourceDisks.samples(1)
            let run = try LabRun()
            let receiver = try LabReceiver(in: run)
            let console = try run.clone(try machine("receiver's verdict", sources, receiver.lines()), sources)
            #expect(console.contains(" verified"))
            #expect(!console.contains(receiver.token))
            try run.verifiedClone().expectContent(of: [("LABD0", sources.disks[0].path)])
        }

        /// Before anything is copied.
        @Test func aWrongTokenIsTold() throws {
            let sources = try SourceDisks.samples(1)
            let run = try LabRun()
            let receiver = try LabReceiver(in: run)
            let wrong = String(receiver.token.reversed())
            let console = try run.clone(
                try machine("wrong token", sources, receiver.lines(token: wrong)), sources, expecting: .failed)
            let reason = console.split(separator: "\n").last { $0.contains("coldclone auto: failed: ") } ?? ""
            #expect(reason.contains("token"), "\(reason)")
            #expect(!console.contains(wrong))
            #expect(try run.server.clones().isEmpty)
        }
    }
}
