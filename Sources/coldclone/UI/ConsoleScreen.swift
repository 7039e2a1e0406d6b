// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Console

/// What the live system's consoles show: a screen of 80 columns, and of 24 lines wherever the machine lets it.
///
/// Plain text from top to bottom, which a serial line carries as well; what to do next stands last, above the prompt.
struct ConsoleScreen {
    /// A disk or partition that a clone can be written to.
    struct Target {
        var device: String
        var type: String
        var name: String
        var size: Int64?
        var link: String?
    }

    var machine: Machine
    var targets: [Target]
    /// Network addresses of this machine: `eno1 10.0.0.5/24`.
    var addresses: [String]
    /// How an unattended run ended, where there was one.
    var outcome: RunOutcome?
    /// What is wrong with the configuration.
    var complaint: String?
    var version: String
    var words: ConsoleWords
    var columns = 79

    private static let maximumDisks = 6
    private static let maximumFindings = 4
    private static let maximumTargets = 3

    /// Returns the lines, each ended by a line feed.
    func text() -> String {
        let sections = [result, header, disks, findings, targetLines, commands]
        return sections.flatMap(\.self).map { Self.cut(Terminal.visible($0), to: columns) + "\n" }.joined()
    }

    private var result: [String] {
        var lines: [String] = []
        if let complaint { lines.append("\(words.configuration): \(complaint)") }
        if let outcome {
            lines.append("\(words.unattended) (\(outcome.finishedAt)): \(outcome.line)")
            if let hint = outcome.hint { lines.append("  \(hint)") }
        }
        return lines.isEmpty ? [] : lines + [rule]
    }

    private var rule: String { String(repeating: "-", count: columns) }

    private var header: [String] {
        let vendor = machine.systemVendor
        let name = Self.join([vendor.manufacturer, vendor.productName]) ?? words.machine
        let secure = machine.boot.secureBoot == true ? "Secure Boot" : nil
        let facts: [String?] = [
            vendor.serialNumber.map { "\(words.serial) \($0)" },
            Self.join([machine.boot.currentBootMode?.uppercased(), secure], "+"),
            machine.memory.total > 0 ? "\(HumanBytes.format(machine.memory.total)) RAM" : nil,
            machine.cpu.count > 0 ? "\(machine.cpu.count) CPU" : nil,
        ]
        let links = machine.interfaces.map {
            "\($0.name) \($0.hasCarrier == true ? $0.speedMbps.map { "\($0) Mbit/s" } ?? words.link : words.noLink)"
        }
        let network =
            addresses.isEmpty ? ([words.noAddress] + links).joined(separator: ", ") : addresses.joined(separator: ", ")
        return [
            "coldclone \(version) - \(name)", "  " + (Self.join(facts, ", ") ?? ""), "  \(words.network): \(network)",
            "",
        ]
    }

    private var disks: [String] {
        let own = machine.disks.filter { !$0.isLiveMedium && $0.kind != "optical" && $0.kind != "md" }
        guard !own.isEmpty else { return [words.noDisks, ""] }
        var table = TextTable(columns: [
            .left("disk"), .right("size"), .left("kind"), .left("model"), .left("holds"),
        ])
        for disk in own.prefix(Self.maximumDisks) {
            table.rows.append([
                disk.name, HumanBytes.format(disk.size),
                Self.join([disk.transport ?? disk.kind, disk.raidLevel]) ?? "-",
                String((disk.model ?? "-").prefix(18)), Self.content(disk.content),
            ])
        }
        let more = own.count - Self.maximumDisks
        return table.render().split(separator: "\n").map(String.init)
            + (more > 0 ? ["\(words.more(more)): coldclone probe"] : []) + [""]
    }

    private static func content(_ content: VolumeContent?) -> String {
        guard let content else { return "?" }
        guard let table = content.table else { return content.type ?? "-" }
        let types = table.partitions.map { $0.content?.type ?? "-" }
        return "\(table.type): \(types.joined(separator: " "))"
    }

    private var findings: [String] {
        let shown = machine.findings.prefix(Self.maximumFindings).map {
            "\($0.severity.rawValue.uppercased()) \($0.subject): \($0.what)"
        }
        let more = machine.findings.count - shown.count
        guard !shown.isEmpty else { return [words.noFindings, ""] }
        return shown + (more > 0 ? ["\(words.more(more)): coldclone probe | less"] : []) + [""]
    }

    private var targetLines: [String] {
        let disks = targets.prefix(Self.maximumTargets).map { target in
            let size = target.size.map { HumanBytes.format($0) }
            return "  usb:\(target.name)  (\(Self.join([target.device, target.type, size, target.link], ", ") ?? ""))"
        }
        return ["\(words.targets)"] + disks + ["  nfs://SERVER/EXPORT  (\(words.anyExport))"]
    }

    private var commands: [String] {
        let target = targets.first.map { "usb:\($0.name)" } ?? "nfs://SERVER/EXPORT"
        let quoted = target.utf8.allSatisfy { Self.isPlain($0) } ? target : "'\(target)'"
        return [
            words.next, "  coldclone plan all    # \(words.plan)",
            "  coldclone auto --set target=\(quoted) --print-config",
            "  coldclone auto --set target=\(quoted)",
            "  mount -t nfs SERVER:/EXPORT /mnt && coldclone capture all --target dir:/mnt",
        ]
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: ":/._-".utf8.contains(byte)
        }
    }

    private static func join(_ parts: [String?], _ separator: String = " ") -> String? {
        let found = parts.compactMap(\.self).filter { !$0.isEmpty }
        return found.isEmpty ? nil : found.joined(separator: separator)
    }

    /// Returns what of `line` fits into `columns`; letters beyond Latin are taken for two columns wide.
    static func cut(_ line: String, to columns: Int) -> String {
        var width = 0
        for index in line.indices {
            let isWide = line[index].unicodeScalars.contains { $0.value >= 0x1100 }
            width += isWide ? 2 : 1
            // The last column is kept for the sign that something is missing.
            if width > columns { return String(line[..<index].dropLast(isWide ? 1 : 1)) + "+" }
        }
        return line
    }
}
