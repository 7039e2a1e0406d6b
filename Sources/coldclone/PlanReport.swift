// SPDX-License-Identifier: GPL-3.0-or-later

internal import Capture
internal import CloneFormat
internal import Console

/// What `coldclone plan` tells.
struct PlanReport: Encodable {
    var plan: CapturePlan
    /// What was measured; nil without a target.
    var bench: BenchReport?
    /// The compression that was asked for.
    var compression: String

    /// Returns one JSON object on a line.
    func json() throws -> String { String(decoding: try JSONText.encode(self, compact: true), as: UTF8.self) }

    /// Returns the tables.
    func text() -> String {
        var parts = [disks]
        if !plan.freeSpace.volumes.isEmpty { parts.append(volumes) }
        if plan.freeSpace.mode == .keep { parts.append("free space is kept: everything is read\n") }
        if let estimate { parts.append(estimate) }
        if let room { parts.append(room) }
        return parts.joined(separator: "\n")
    }

    private var disks: String {
        var table = TextTable(columns: [
            .left("disk"), .left("source"), .right("length"), .right("to read"), .right(""),
        ])
        for disk in plan.disks {
            let share = disk.lengthInBytes > 0 ? Double(disk.bytesToRead) / Double(disk.lengthInBytes) : 0
            table.rows.append([
                disk.name, Terminal.visible(disk.source), HumanBytes.format(disk.lengthInBytes),
                HumanBytes.format(disk.bytesToRead), "\(Int((share * 100).rounded())) %",
            ])
        }
        var skipped = TextTable(columns: [.left("disk"), .left("skipped"), .right("bytes"), .right("places")])
        for disk in plan.disks {
            for total in disk.skipped {
                skipped.rows.append([
                    disk.name, Terminal.visible(total.reason), HumanBytes.format(total.lengthInBytes),
                    "\(total.extents)",
                ])
            }
        }
        return table.render() + (skipped.rows.isEmpty ? "" : "\n" + skipped.render())
    }

    private var volumes: String {
        var table = TextTable(columns: [
            .left("volume"), .left("type"), .right("length"), .right("unused"), .right("checked in"),
            .left("copied whole"),
        ])
        for volume in plan.freeSpace.volumes {
            let cost = volume.checkedExtents == nil ? "-" : HumanDuration.format(seconds: volume.seconds)
            table.rows.append([
                Terminal.visible(volume.name), Terminal.visible(volume.type ?? "-"),
                HumanBytes.format(volume.lengthInBytes),
                volume.copiedWhole == nil ? HumanBytes.format(volume.freeInBytes) : "-", cost,
                Terminal.visible(volume.copiedWhole ?? ""),
            ])
        }
        return table.render()
    }

    private var estimate: String? {
        guard let bench, let row = bench.compressions.first(where: { $0.compression == compression }) else {
            return nil
        }
        let pace = bench.bottleneckText(row)
        return bench.text() + """

            this capture        \(HumanBytes.format(plan.bytesToRead)) with --compression \(compression): about \
            \(HumanDuration.format(seconds: row.secondsForSources)), \(pace)

            """
    }

    private var room: String? {
        guard let target = plan.target else { return nil }
        let expected = target.expectedInBytes.map { "about \(HumanBytes.format($0)), " } ?? ""
        return """
            needed on target    \(expected)at most \(HumanBytes.format(target.worstCaseInBytes))
            free on target      \(HumanBytes.format(target.freeInBytes)): \
            \(target.fits ? target.worstCaseInBytes <= target.freeInBytes ? "enough" : "enough if it compresses as the samples did" : "NOT ENOUGH")

            """
    }
}
