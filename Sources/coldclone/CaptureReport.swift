// SPDX-License-Identifier: GPL-3.0-or-later

internal import Capture
internal import CloneFormat
internal import Console

/// What `coldclone capture` tells of a finished clone.
struct CaptureReport: Encodable {
    struct Disk: Encodable {
        var name: String
        var source: String
        var image: String
        var lengthInBytes: Int64
        var bytesRead: Int64
        var bytesSkipped: Int64
        var bytesUnreadable: Int64
        var losses: [LossRecord]?
        /// Bytes with content that the base has as well; nil without one.
        var bytesEqualToBase: Int64?
        var imageLengthInBytes: Int64
        var contentDigest: Digest
    }

    var clone: String
    var cloneUuid: String
    var state: CloneState
    var seconds: Double
    var bytesRead: Int64
    var bytesPerSecond: Double
    /// The clone that this one was made against.
    var base: BaseRecord?
    var disks: [Disk]

    init(_ outcome: CloneCapture.Outcome, seconds: Double) {
        clone = outcome.folder
        cloneUuid = outcome.manifest.cloneUuid
        state = outcome.manifest.state
        base = outcome.manifest.base
        self.seconds = (seconds * 1000).rounded() / 1000
        bytesRead = outcome.manifest.disks.reduce(0) { $0 + $1.bytes.read }
        bytesPerSecond = seconds > 0 ? (Double(bytesRead) / seconds).rounded() : 0
        disks = outcome.manifest.disks.map {
            Disk(
                name: $0.name, source: $0.source, image: $0.image.file, lengthInBytes: $0.lengthInBytes,
                bytesRead: $0.bytes.read, bytesSkipped: $0.bytes.skipped,
                bytesUnreadable: $0.bytes.unreadable, losses: $0.losses, bytesEqualToBase: $0.base?.equalBytes,
                imageLengthInBytes: $0.image.lengthInBytes, contentDigest: $0.contentDigest)
        }
    }

    /// Returns one JSON object on a line.
    func json() throws -> String {
        String(decoding: try JSONText.encode(self, compact: true), as: UTF8.self)
    }

    /// Lines for files that lost something; all of them are in the manifest.
    private static let maximumLines = 20

    private func text(_ loss: LossRecord) -> String {
        let place =
            loss.volume.map { volume in
                "\(Terminal.visible(volume))" + (loss.type.map { ", \(Terminal.visible($0))" } ?? "")
            }
        let content = loss.content ?? []
        let lines = content.prefix(Self.maximumLines).map { piece in
            "           \(Self.name(piece)) (\(place ?? "")): \(HumanBytes.format(piece.lengthInBytes))\n"
        }
        let rest = content.count - lines.count
        return "         \(HumanBytes.format(loss.lengthInBytes)) of that "
            + (place.map { "in \($0)" } ?? "outside of all volumes") + "\n" + lines.joined()
            + (rest > 0 ? "           and \(rest) more: see manifest.json\n" : "")
    }

    /// Says what was lost: a path, or what a file system kept there.
    private static func name(_ piece: LostContentRecord) -> String {
        let path = piece.path.map { Terminal.visible($0) }
        let detail = piece.detail.map { Terminal.visible($0) }
        switch piece.kind {
        case "file": return path ?? detail ?? "a file"
        case "directory": return "directory \(path ?? detail ?? "of unknown name")"
        case "metadata": return "metadata: " + [detail, path].compactMap(\.self).joined(separator: " of ")
        case "free": return "free space"
        default: return detail ?? "what lies there cannot be told: what leads to it is lost as well"
        }
    }

    /// What did not change since the base, and what the clone needs it for.
    private var baseText: String {
        guard let base else { return "" }
        let equal = disks.reduce(0) { $0 + ($1.bytesEqualToBase ?? 0) }
        let stored = disks.reduce(0) { $0 + $1.imageLengthInBytes }
        let need =
            base.kind == .overlay
            ? "the images hold \(HumanBytes.format(stored)) and need it beside them: keep it"
            : "the images hold everything: it may go"
        return """
            base     \(Terminal.visible(base.cloneId)): \(HumanBytes.format(equal)) are the same there; \(need)

            """
    }

    /// Returns a table, and what to do next.
    func text() -> String {
        var table = TextTable(columns: [
            .left("disk"), .right("length"), .right("read"), .right("skipped"), .right("image"),
            .left("content digest"),
        ])
        for disk in disks {
            table.rows.append([
                disk.name, HumanBytes.format(disk.lengthInBytes), HumanBytes.format(disk.bytesRead),
                HumanBytes.format(disk.bytesSkipped), HumanBytes.format(disk.imageLengthInBytes),
                disk.contentDigest.description,
            ])
        }
        let losses = disks.filter { $0.bytesUnreadable > 0 }.map { disk in
            """
            LOST     \(HumanBytes.format(disk.bytesUnreadable)) of \(Terminal.visible(disk.source)) could not be read: \
            zeros stand there; \(disk.name).map lists them

            """
                + (disk.losses ?? []).map(text).joined()
        }.joined()
        return table.render() + "\n" + losses + baseText + """
            clone    \(Terminal.visible(clone))
            state    \(state.rawValue): \(HumanBytes.format(bytesRead)) read in \
            \(HumanDuration.format(seconds: seconds)), \(HumanBytes.rate(bytesPerSecond))
            next     coldclone-receiver verify \(Terminal.visible(clone))

            """
    }
}

extension CaptureProgress {
    /// Longest time between two answers of a target that works: disks spin up, caches are written out.
    private static let patience = Duration.seconds(15)

    /// How far the capture is, for the progress line; nil before it begins.
    var sample: ProgressSample? {
        guard bytesToRead > 0 else { return nil }
        let skipped = bytesSkipped
        if let silence = targetSilence, silence > Self.patience {
            return ProgressSample(
                label: "waiting for the target", done: bytesRead, total: bytesToRead,
                extra:
                    "no answer for \(HumanDuration.format(seconds: silence / .seconds(1))); the copy goes on when it comes back"
            )
        }
        return ProgressSample(
            label: "capturing \(currentDisks.joined(separator: ", "))", done: bytesRead, total: bytesToRead,
            extra: skipped > 0 ? "\(HumanBytes.format(skipped)) skipped" : "")
    }
}
