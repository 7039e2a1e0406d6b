// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Glibc
internal import TestSupport
internal import Testing

/// A network with an NFS server, for the machines that are cloned in one test.
struct LabRun {
    let network: LabNetwork
    let server: NFSServer

    /// What an unattended run writes to, unless a test says otherwise.
    static let target = "nfs://\(LabNetwork.address)\(NFSServer.exportPath)"

    /// The receiver as it is shipped.
    static let receiver: String = {
        if let value = getenv("COLDCLONE_RECEIVER") { return String(cString: value) }
        return "\(Fixtures.root)/.build/dist/coldclone-receiver"
    }()

    init(capacityInMiB: Int? = nil) throws {
        network = try LabNetwork()
        server = try NFSServer(in: network, capacityInMiB: capacityInMiB)
    }

    /// Tells people how far it is, on standard error, line by line: print(_:) would keep it back.
    static func tell(_ text: String) {
        let bytes = Array("lab: \(text)\n".utf8)
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }

    /// What tells the live system, on its kernel command line, to clone and to switch the machine off.
    static func arguments(target: String = target, _ more: String...) -> [String] {
        ["mode=auto", "target=\(target)", "on_done=poweroff", "on_fail=poweroff", "name=lab"].map { "coldclone.\($0)" }
            + more.map { "coldclone.\($0)" }
    }

    /// The same as a job.
    static func job(_ more: [String]) -> String {
        (["mode: auto", "target: \(target)", "on_done: poweroff", "on_fail: poweroff", "name: lab"] + more)
            .map { $0 + "\n" }.joined()
    }

    /// Runs a machine whose unattended run ends it, and expects the exit code and that the sources are untouched.
    ///
    /// Returns what the console said.
    @discardableResult
    func clone(
        _ machine: LiveMachine, _ sources: SourceDisks, expecting code: ExitCode = .done, within seconds: Int = 1800,
        during action: (RunningMachine) throws -> Void = { _ in }
    ) throws -> String {
        let running = try machine.start(in: network)
        try running.console.expect("coldclone auto: ", within: 1200)
        running.report("agent, with \(machine.memoryInMiB) MiB")
        try action(running)
        let exit = try running.unattendedExit(within: seconds)
        running.report("exit \(exit.map { "\($0)" } ?? "?")")
        #expect(exit == code.rawValue, "\(running.console.text.suffix(6000))\n\(server.log)")
        try running.expectEnd()
        #expect(try sources.areUntouched(), "\(machine.name): a source disk was written to")
        return running.console.text
    }

    /// Returns the one clone on the server, when the receiver calls it verified.
    func verifiedClone() throws -> Clone {
        let folders = try server.clones()
        try #require(folders.count == 1, "\(folders)\n\(server.log)")
        return try Clone(folders[0], in: network)
    }
}

/// A clone that the receiver called verified.
struct Clone {
    let folder: String
    let manifest: Manifest
    private let network: LabNetwork

    init(_ folder: String, in network: LabNetwork) throws {
        self.folder = folder
        self.network = network
        let result = try network.run(LabRun.receiver, ["verify", "--json", folder])
        guard result.status == 0 else {
            throw ToolError("\(folder): \(result.status) \(result.errors)\(result.output)")
        }
        let receipt: Receipt = try JSONText.decode(Array(result.output.utf8), file: Receipt.fileName)
        #expect(receipt.verdict == .verified, "\(receipt.problems)")
        let text = try network.output("cat", ["\(folder)/\(Manifest.fileName)"])
        manifest = try Manifest(opening: Array(text.utf8), file: Manifest.fileName)
        let lengths = manifest.disks.map { "\($0.lengthInBytes >> 20) MiB as \($0.image.lengthInBytes >> 20) MiB" }
        LabRun.tell("\(manifest.cloneId): \(receipt.verdict), \(lengths.joined(separator: ", "))")
    }

    /// The image of the disk with a serial number; disks are not named alike in every boot.
    func image(ofSerial serial: String) throws -> String {
        let disk = manifest.machine.inventory?.disks.first { $0.serial?.hasSuffix(serial) == true }
        let name = try #require(disk?.name, "no disk has the serial number \(serial)")
        let record = manifest.disks.first { $0.source == name }
        return "\(folder)/\(try #require(record, "\(name) was not cloned").image.file)"
    }

    /// Expects that each image holds, free space and all, what the disk holds; qemu-img(1) compares them.
    func expectContent(of disks: [(serial: String, path: String)]) throws {
        for disk in disks {
            let image = try image(ofSerial: disk.serial)
            let format = image.hasSuffix(".qcow2") ? "qcow2" : "raw"
            let result = try network.run("qemu-img", ["compare", "-f", "raw", "-F", format, disk.path, image])
            #expect(result.status == 0, "\(disk.serial): \(result.output)\(result.errors)")
        }
    }
}
