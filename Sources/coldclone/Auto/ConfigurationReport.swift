// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Console

/// What `coldclone auto --print-config` tells: each setting with its origin, and what would be done.
struct ConfigurationReport: Encodable {
    var settings: [JobConfiguration.Line]
    var steps: [String]

    init(_ configuration: JobConfiguration) {
        settings = configuration.lines
        steps = Self.steps(configuration)
    }

    /// Returns one JSON object on a line.
    func json() throws -> String { String(decoding: try JSONText.encode(self, compact: true), as: UTF8.self) }

    /// Returns a table and a list.
    func text() -> String {
        var table = TextTable(columns: [.left("key"), .left("value"), .left("from")])
        for line in settings { table.rows.append([line.key, line.value, line.origin]) }
        let list = steps.enumerated().map { "  \($0.offset + 1). \(Terminal.visible($0.element))\n" }.joined()
        return table.render() + "\nwould\n" + list
    }

    private static func steps(_ configuration: JobConfiguration) -> [String] {
        var steps: [String] = []
        if let receiver = configuration.receiver {
            steps.append("ask the receiver \(receiver) whether the token is good")
        }
        steps.append("look at the machine; critical findings \(configuration.force ? "do not stop it" : "stop it")")
        for portal in configuration.iscsi { steps.append("log in to iSCSI: \(portal)") }
        if let target = configuration.target {
            steps.append("write to \(target)")
        } else {
            steps.append("stop: no job says where the clone goes")
            return steps
        }
        steps.append("make sure that the clone fits\(configuration.force ? ", and go on if not" : "")")
        if configuration.bench { steps.append("measure source and target") }
        let disks = configuration.disks.map(\.description).joined(separator: ", ")
        steps.append(
            "capture \(disks.isEmpty ? "LUNs" : disks) as \(configuration.format.rawValue), compression "
                + "\(configuration.compression.rawValue), free space: \(configuration.freeSpace.rawValue)"
                + (configuration.resume ? "; go on with an interrupted clone of the same disks" : ""))
        if configuration.receiver != nil {
            let seconds = configuration.waitReceipt
            steps.append(
                "have the receiver verify the clone"
                    + (seconds > 0 ? ", and wait \(seconds) s at most for its verdict" : ", and not wait for it"))
        }
        steps.append("then \(configuration.onDone.rawValue); after a failure \(configuration.onFail.rawValue)")
        return steps
    }
}
