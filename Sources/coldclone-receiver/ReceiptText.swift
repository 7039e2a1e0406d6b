// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Console
internal import Receiver
internal import Verification

/// A receipt as people and as programs read it.
struct ReceiptText {
    let clone: String
    let receipt: Receipt

    /// Returns one JSON object on a line.
    func json() -> String {
        (try? JSONText.encode(receipt, compact: true)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// Returns a table of the disks, the problems, worst first, the warnings, and the verdict.
    func text() -> String {
        var text = ""
        if !receipt.disks.isEmpty {
            var table = TextTable(columns: [
                .left("disk"), .right("length"), .right("checked"), .right("zero"), .left("content digest"),
                .left("result"),
            ])
            for disk in receipt.disks {
                table.rows.append([
                    disk.name, HumanBytes.format(disk.lengthInBytes), "\(disk.checkedChunks) chunks",
                    "\(disk.zeroChunks) chunks", disk.contentDigest?.description ?? "-", result(of: disk),
                ])
            }
            text += table.render() + "\n"
        }
        for problem in receipt.problems {
            text += "problem  \(problem.kind.rawValue): \(Terminal.visible(problem.message))\n"
        }
        let unlisted = receipt.problemCount - receipt.problems.count
        if unlisted > 0 { text += "problem  and \(unlisted) more\n" }
        for warning in receipt.warnings { text += "warning  \(Terminal.visible(warning))\n" }
        return text + "verdict  \(receipt.verdict.rawValue): \(Terminal.visible(clone))\(reason)\n"
    }

    private var reason: String {
        switch receipt.verdict {
        case .verified: return ""
        case .degraded: return ", every byte is as captured, but the source could not be read everywhere"
        case .failed: return receipt.problemCount == 1 ? ", 1 problem" : ", \(receipt.problemCount) problems"
        }
    }

    private func result(of disk: VerifiedDisk) -> String {
        if receipt.problems.contains(where: { $0.disk == disk.name }) { return "failed" }
        guard disk.contentDigest != nil else { return "not checked" }
        guard let qemu = disk.qemuImgCheck else { return "good" }
        return "good, qemu-img: \(qemu)"
    }
}

extension ReceiverProgress {
    /// How far the work is, for the progress line; nil before it begins.
    var sample: ProgressSample? {
        let disk = verification.currentDisk
        if !disk.isEmpty {
            return ProgressSample(
                label: "checking \(disk)", done: verification.bytesDone, total: verification.bytesTotal)
        }
        guard fileBytesDone < fileBytesTotal else { return nil }
        return ProgressSample(label: "file digests", done: fileBytesDone, total: fileBytesTotal)
    }
}
