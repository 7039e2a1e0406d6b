// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import TestSupport

/// A machine that is switched on; without power as soon as nobody refers to it.
final class RunningMachine: Sendable {
    let name: String
    let console: SerialConsole
    let monitor: QMPClient

    private let started = ContinuousClock.now
    private let network: LabNetwork
    private let process: RunningTool
    private let scratch: TemporaryFolder

    init(_ name: String, _ process: RunningTool, _ network: LabNetwork, _ scratch: TemporaryFolder) throws {
        (self.name, self.process, self.network, self.scratch) = (name, process, network, scratch)
        do {
            // QEMU begins when the console is taken.
            console = try SerialConsole(try UnixStream(scratch.file("console")))
            monitor = try QMPClient(try UnixStream(scratch.file("monitor")))
        } catch {
            network.stop(process)
            throw ToolError("\(name): \(error): \((try? process.wait().errors) ?? "")")
        }
    }

    deinit { network.stop(process) }

    /// Seconds since it was switched on.
    var age: Int { Int((ContinuousClock.now - started).components.seconds) }

    /// Cuts its power.
    func cutPower() throws {
        try monitor.quit()
        try console.expectEnd(within: 300)
    }

    /// Pulls the cable out of the network interface in port number `number`: it has no link any more.
    func unplug(_ number: Int) throws { try monitor.execute("set_link", "\"name\": \"net\(number)\", \"up\": false") }

    /// Waits until an unattended run is over, and returns its exit code.
    func unattendedExit(within seconds: Int) throws -> Int32? {
        let line = try console.expect("coldclone auto: exit ", within: seconds, wholeLine: true)
        return line.split(separator: " ").last.flatMap { Int32($0) }
    }

    /// Waits until it has switched itself off.
    func expectEnd(within seconds: Int = 600) throws { try console.expectEnd(within: seconds) }

    /// Waits for the shell on the serial console that follows the agent's report.
    func shell(within seconds: Int) throws -> LiveShell {
        try console.expect("root@", within: seconds)
        // One without a prompt, an echo or news of jobs: all it prints is what a command prints.
        // What is typed before it reads would be lost to the terminal's change of modes.
        try console.type("exec env PS1=lab''shell bash --norc --noprofile --noediting\r")
        try console.expect("labshell", within: 300)
        try console.type("stty -echo; set +m; PS1=\r")
        let shell = LiveShell(console: console)
        try shell.output("true")
        return shell
    }

    /// Tells what was measured, for people who compare runs.
    func report(_ what: String) { LabRun.tell("\(name): \(what) after \(age) s") }
}
