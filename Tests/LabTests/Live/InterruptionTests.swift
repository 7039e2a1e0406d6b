// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import TestSupport
internal import Testing

extension LiveLab.Complete {
    /// What breaks in mid-capture costs time, and nothing else.
    struct InterruptionTests {
        private func machine(_ name: String, _ sources: SourceDisks, _ more: String = "bench=off") throws -> LiveMachine
        {
            LiveMachine(
                name: name,
                boot: .kernel(try LiveSystem(), arguments: LabRun.arguments("free_space=keep", more), root: .cd),
                disks: sources.disks, devices: LabHardware.megasas(2))
        }

        /// Waits until an image on the server holds so much: the copy is under way.
        private func waitForData(_ run: LabRun, mebibytes: Int) throws {
            try run.network.output(
                "python3", ["\(Fixtures.folder)/wait-for-data", run.server.folder, "\(mebibytes << 20)", "900"])
        }

        /// The next boot goes on where the last one ended.
        @Test func aPowerCutIsResumed() throws {
            let sources = try SourceDisks.samples(2, mebibytes: 160, content: 120)
            let run = try LabRun()
            let machine = try machine("power cut", sources)
            let running = try machine.start(in: run.network)
            try waitForData(run, mebibytes: 64)
            try running.cutPower()
            running.report("power cut")
            #expect(try sources.areUntouched())
            #expect(try run.server.clones().isEmpty)

            try run.clone(machine, sources)
            let clone = try run.verifiedClone()
            try clone.expectContent(of: zip(["LABD0", "LABD1"], sources.disks).map { ($0, $1.path) })
            let events = try run.network.output("cat", ["\(clone.folder)/\(CloneEvent.fileName)"])
            #expect(events.contains(CloneEvent.Kind.captureResumed.rawValue))
        }

        /// Two cables, of which the one that carries everything is pulled; the server has its address in IPv6.
        @Test func aBondOutlivesACable() throws {
            let sources = try SourceDisks.samples(2, mebibytes: 160, content: 120)
            let run = try LabRun()
            let address = "fd00:99::50"
            let network = [
                "ifname=lan0:\(LiveMachine.macAddress(0))", "ifname=lan1:\(LiveMachine.macAddress(1))",
                "bond=bond0:lan0,lan1:mode=active-backup,miimon=100", "ip=[\(address)]:::64::bond0:none",
            ]
            let target = "nfs://[\(LabNetwork.addressIPv6)]\(NFSServer.exportPath)"
            var machine = try machine("bond over IPv6", sources)
            machine.boot = .kernel(
                try LiveSystem(),
                arguments: network + LabRun.arguments(target: target, "free_space=keep", "bench=off"), root: .cd)
            machine.ports = [.plain, .second]
            let taps = ["tap0", "tap2"]
            // What the network's bridge has learned: the port behind which the machine is.
            func port() throws -> Int {
                let neighbour = try run.network.output("ip", ["-6", "neighbour", "show", address])
                let words = neighbour.split(whereSeparator: \.isWhitespace)
                let place = try #require(words.firstIndex(of: "lladdr"), "\(neighbour)")
                let table = try run.network.output("bridge", ["fdb", "show", "br", "br0"])
                let entry = table.split(separator: "\n").first { $0.hasPrefix("\(words[place + 1]) dev tap") }
                let name = try #require(entry, "\(neighbour)\(table)").split(separator: " ")[2]
                return try #require(taps.firstIndex { $0 == name })
            }
            try run.clone(machine, sources) { running in
                try waitForData(run, mebibytes: 48)
                let pulled = try port()
                try running.unplug(pulled)
                try waitForData(run, mebibytes: 112)
                #expect(try port() == 1 - pulled)
            }
            try run.verifiedClone().expectContent(of: zip(["LABD0", "LABD1"], sources.disks).map { ($0, $1.path) })
        }

        /// In the measurement before the copy, and in the copy.
        @Test(arguments: [true, false])
        func aServerThatGoesAndComesBackIsWaitedFor(measured: Bool) throws {
            let sources = try SourceDisks.samples(2, mebibytes: 160, content: 120)
            let run = try LabRun()
            let (name, bench) = measured ? ("while measured", "on") : ("in mid-capture", "off")
            let machine = try machine("NFS server restarted \(name)", sources, "bench=\(bench)")
            let console = try run.clone(machine, sources) { running in
                if measured {
                    try running.console.expect("to read: ", within: 300)
                } else {
                    try waitForData(run, mebibytes: 48)
                }
                run.server.stop()
                // Long enough for the agent to tell of it.
                try running.console.expect(measured ? "not done after" : "no answer for", within: 300)
                try run.server.start()
            }
            #expect(console.contains("coldclone auto: done: "))
            let clone = try run.verifiedClone()
            try clone.expectContent(of: zip(["LABD0", "LABD1"], sources.disks).map { ($0, $1.path) })
        }
    }
}
