// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import TestSupport
internal import Testing

/// `coldclone auto` and a receiver that it asks for jobs and verdicts.
@Suite(
    .enabled(if: Programs.areBuilt, "the programs are not built: image-build/agent, image-build/receiver"),
    .enabled(if: Tool.isInstalled("curl", "python3"), "curl and python3 are not installed"))
struct AutoReceiverTests {
    private struct Scene {
        let folder: TemporaryFolder
        let target: String
        let receiver: ScriptedReceiver

        init(receiversJob: String = "", verifyStatus: Int = 202) throws {
            folder = try TemporaryFolder()
            target = try folder.folder("target")
            let file = try SampleContent.write(
                SampleContent.bytes(.mixed, length: 8 << 20), to: folder.file("disk.img"))
            var job = ""
            if !receiversJob.isEmpty {
                let text = receiversJob + "disks: \(file)\ntarget: dir:\(target)\nname: host\n"
                job = try SampleContent.write(Array(text.utf8), to: folder.file("receivers.yaml"))
            }
            receiver = try ScriptedReceiver(
                folder, clones: target, token: "open-sesame", job: job, verifyStatus: verifyStatus)
        }

        /// Runs with a job that names the receiver, and `more` of it.
        func run(token: String = "open-sesame", _ more: String, environment: [String] = []) throws -> Tool.Result {
            let text = "receiver: http://127.0.0.1:\(receiver.port)\ntoken: \(token)\n" + more
            let job = try SampleContent.write(Array(text.utf8), to: folder.file("job.yaml"))
            return try Tool.run(
                Programs.agent, ["auto", "--cmdline", "/dev/null", "--job", job], environment: environment)
        }

        var whole: String { "disks: \(folder.file("disk.img"))\ntarget: dir:\(target)\nname: host\nbench: off\n" }
    }

    @Test func endsWithTheReceiversVerdict() throws {
        let scene = try Scene()
        let result = try scene.run(scene.whole)
        #expect(result.status == 0, "\(result.output)")
        let name = try Programs.clone(in: scene.target).split(separator: "/").last ?? ""
        #expect(result.output.contains("coldclone auto: done: \(name) verified\ncoldclone auto: exit 0\n"))
        let requests = scene.receiver.requests
        #expect(requests.first?.hasPrefix("GET /api/v1/job?") == true)
        #expect(requests.contains("POST /api/v1/clones/\(name)/verify"))
        #expect(requests.filter { $0 == "GET /api/v1/clones/\(name)/receipt" }.count >= 2)
    }

    @Test func aWrongTokenIsFoundOutBeforeTheCopy() throws {
        let scene = try Scene()
        let result = try scene.run(token: "hunter2", scene.whole)
        #expect(result.status == 1)
        #expect(result.output.contains("refuses the token (401)") && !result.output.contains("hunter2"))
        #expect(try Tool.output("ls", ["-A", scene.target]).isEmpty)
        #expect(scene.receiver.requests.count == 1)
    }

    @Test func theReceiverGivesTheJob() throws {
        let scene = try Scene(receiversJob: "bench: off\nformat: raw\n")
        let result = try scene.run("")
        #expect(result.status == 0, "\(result.output)")
        #expect(result.output.contains("verified"))
        let none = try Scene()
        let refused = try none.run("")
        #expect(refused.status == 1 && refused.output.contains("there is no job for this machine"))
        #expect(refused.output.contains("no job says where the clone goes"))
    }

    @Test func aReceiptThatDoesNotComeIsNoVerdict() throws {
        let scene = try Scene(verifyStatus: 204)
        let result = try scene.run(scene.whole + "wait_receipt: 2\n")
        #expect(result.status == 1)
        #expect(result.output.contains("is complete, and not verified"), "\(result.output)")
        let refused = try Scene(verifyStatus: 403)
        #expect(try refused.run(refused.whole).output.contains("answers 403"))
    }

    @Test func aReceiverThatIsNotThereIsWaitedForAndNoLonger() throws {
        let folder = try TemporaryFolder()
        let job = try SampleContent.write(
            Array("receiver: http://127.0.0.1:1\ntoken: x\nwait_network: 2\ntarget: dir:\(folder.path)\n".utf8),
            to: folder.file("job.yaml"))
        let start = ContinuousClock.now
        let result = try Tool.run(Programs.agent, ["auto", "--cmdline", "/dev/null", "--job", job])
        #expect(result.status == 1)
        #expect(result.output.contains("waiting for the receiver http://127.0.0.1:1"))
        #expect(ContinuousClock.now - start < .seconds(60))
    }

    /// What helpers are given as arguments can be read by everybody on the machine.
    @Test(.enabled(if: Tool.isInstalled("strace"), "strace is not installed"))
    func secretsAreNoArgumentsOfHelpers() throws {
        let scene = try Scene()
        let trace = scene.folder.file("trace")
        let text = "receiver: http://127.0.0.1:\(scene.receiver.port)\ntoken: open-sesame\n" + scene.whole
        let job = try SampleContent.write(Array(text.utf8), to: scene.folder.file("job.yaml"))
        let result = try Tool.run(
            "strace",
            [
                "-f", "-s", "4096", "-e", "trace=execve", "-v", "-o", trace, Programs.agent, "auto", "--cmdline",
                "/dev/null", "--job", job,
            ])
        #expect(result.status == 0, "\(result.output)")
        let calls = try Tool.output("cat", [trace]).split(separator: "\n").filter { $0.contains("/curl") }
        #expect(calls.count >= 3)
        #expect(calls.allSatisfy { $0.contains("[\"curl\", \"-q\", \"--config\", \"-\"]") && !$0.contains("sesame") })
        #expect(!result.output.contains("sesame"))
        let events = try Tool.output("cat", ["\(Programs.clone(in: scene.target))/events.jsonl"])
        #expect(!events.contains("sesame") && events.contains("token good"))
    }

    /// What follows success or failure is carried out by systemctl(1), found in PATH: here by one that only tells.
    @Test(arguments: [("on_done: poweroff\n", "open-sesame", "poweroff"), ("on_fail: reboot\n", "bad", "reboot")])
    func whatFollowsIsCarriedOut(setting: String, token: String, action: String) throws {
        let scene = try Scene()
        let programs = try scene.folder.folder("bin")
        let told = scene.folder.file("told")
        try SampleContent.write(
            Array("#!/bin/sh\necho \"$@\" > '\(told)'\n".utf8), to: "\(programs)/systemctl")
        try Tool.output("chmod", ["+x", "\(programs)/systemctl"])
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        let text = "receiver: http://127.0.0.1:\(scene.receiver.port)\ntoken: \(token)\n" + scene.whole + setting
        let job = try SampleContent.write(Array(text.utf8), to: scene.folder.file("job.yaml"))
        _ = try Tool.run(
            "env",
            ["PATH=\(programs):\(path)", Programs.agent, "auto", "--cmdline", "/dev/null", "--job", job])
        #expect(try Tool.output("cat", [told]) == "\(action)\n")
    }
}
