// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import BlockIO
internal import CloneFormat
internal import Console
internal import Probing

/// `coldclone ui`.
struct UICommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ui",
        abstract: "Show what this machine has and what to do next, then a shell: the live system's consoles.",
        discussion: """
            Text of 80 columns for screens and serial lines. How an unattended run ended stands first, the next \
            commands last, ready to paste; the shell's end shows it all again. With coldclone.mode=shell there is only \
            the shell. Without a terminal at its input, the screen is shown once.

            Messages are in the language of coldclone.language, en or ja; a virtual terminal of Linux has no Japanese \
            letters and stays English.

            EXAMPLES
              coldclone ui
              coldclone ui </dev/null
            """)

    @Option(
        help: ArgumentHelp("Look at the machine whose files are in this folder or recording.", valueName: "sysroot"),
        completion: .file())
    var sysroot: String?

    @Option(
        help: ArgumentHelp("File to read the kernel command line from.", valueName: "file"), completion: .file())
    var cmdline = "/proc/cmdline"

    func run() throws {
        let cancellation = CancellationFlag()
        while true {
            let (settings, complaint) = settings(cancellation)
            if settings.mode != .shell { try show(settings, complaint) }
            guard InteractiveShell.isAtTerminal else { return }
            let clock = ContinuousClock()
            let start = clock.now
            guard InteractiveShell.run() else {
                throw AutoError("there is no shell here", hint: "/bin/bash or /bin/sh is missing")
            }
            // A line that hung up must not make a loop that keeps the machine busy.
            if clock.now - start < .seconds(1) { _ = cancellation.wait(for: .seconds(1)) }
        }
    }

    /// Returns the configuration as far as it is known without the network, and what is wrong with it.
    private func settings(_ cancellation: CancellationFlag) -> (JobConfiguration, String?) {
        do {
            let parameters = KernelCommandLine.parse(
                try SmallFile.text(cmdline, limit: KernelCommandLine.maximumLength))
            return (try JobGathering.localConfiguration(parameters), nil)
        } catch {
            let (message, hint, _) = Failure.explain(error)
            return (JobConfiguration(), hint.map { "\(message) (\($0))" } ?? message)
        }
    }

    private func show(_ settings: JobConfiguration, _ complaint: String?) throws {
        let isEnglish = settings.language == .japanese && InteractiveShell.isVirtualTerminal
        let words = ConsoleWords(isEnglish ? .english : settings.language)
        Terminal.standardOutput.write("\n\(words.looking)\n")
        let root: Sysroot
        if let sysroot { root = try MachineRecording.open(sysroot) } else { root = Sysroot() }
        var inspection = MachineInspection(sysroot: root)
        // A drive that is ill may take long to answer; the prompt is not to wait for it.
        inspection.asksDrives = false
        let machine = inspection.machine()
        let screen = ConsoleScreen(
            machine: machine, targets: Self.targets(machine), addresses: sysroot == nil ? NetworkAddresses.all() : [],
            outcome: Self.outcome(), complaint: complaint, version: Version.program.version, words: words)
        Terminal.standardOutput.write("\n" + screen.text())
        if isEnglish {
            Terminal.standardOutput.write("(Japanese is shown on serial lines; this screen has no letters for it)\n")
        }
        if InteractiveShell.isAtTerminal { Terminal.standardOutput.write("\(words.shell)\n") }
    }

    private static func outcome() -> RunOutcome? {
        guard let bytes = try? SmallFile.read(RunOutcome.path, limit: RunOutcome.maximumLength) else { return nil }
        return try? RunOutcome(opening: bytes)
    }

    /// Returns the file systems that an unattended run could write to, on disks that are plugged in and on the medium.
    static func targets(_ machine: Machine) -> [ConsoleScreen.Target] {
        var targets: [ConsoleScreen.Target] = []
        for disk in machine.disks where disk.isPossibleTarget {
            guard let content = disk.content else { continue }
            var volumes: [(String, Int64, VolumeContent)] = [(disk.name, disk.size, content)]
            for partition in content.table?.partitions ?? [] {
                guard let content = partition.content else { continue }
                volumes.append((partition.name ?? "\(disk.name)\(partition.number)", partition.size, content))
            }
            for (device, size, content) in volumes {
                guard let type = content.type, TargetMount.types.contains(type),
                    let name = content.label ?? content.uuid
                else { continue }
                targets.append(
                    .init(device: device, type: type, name: name, size: size, link: disk.link ?? disk.transport))
            }
        }
        let live = machine.disks.filter(\.isLiveMedium).map(\.name)
        guard !live.isEmpty else { return targets }
        for volume in VolumeSearch.volumes(named: JobGathering.label, on: live) {
            guard let type = volume.type, TargetMount.types.contains(type) else { continue }
            targets.append(.init(device: volume.device, type: type, name: JobGathering.label, size: nil, link: nil))
        }
        return targets
    }
}
