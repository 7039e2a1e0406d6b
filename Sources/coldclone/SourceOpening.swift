// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import ISCSI
internal import Probing

/// From what the command line calls a source to a disk that can be captured.
struct SourceOpening {
    var session: ISCSISessions
    var connections: Int
    var log: Log
    var cancellation: CancellationFlag
    /// Whether sources are only looked at: then they may be in use, and stay writable for who uses them.
    var isOnlyLooking = false

    /// Opens every source read-only, after making sure that none is in use or holds the target.
    ///
    /// - Parameter targetFolder: where the clone goes; nil where nothing is written.
    func open(_ paths: [String], targetFolder: String?) throws -> [CaptureDisk] {
        try open(SourceWords(session: session, log: log).expand(paths), targetFolder: targetFolder)
    }

    /// Opens sources whose words are replaced already.
    func open(_ entries: [SourceWords.Entry], targetFolder: String?) throws -> [CaptureDisk] {
        let stack = try BlockStack()
        let hasDevices = entries.contains { $0.path.hasPrefix("/dev/") }
        let sysroot = Sysroot()
        let machine = hasDevices ? MachineProbe(sysroot).hardware() : Machine()
        let lanes = DiskLanes(machine)
        let access = DiskAccess(machine, sysroot)
        var disks: [CaptureDisk] = []
        for entry in entries {
            let path = entry.path
            let (stem, lane, source): (String, String, any BlockSource) =
                if path.hasPrefix(ISCSIURL.scheme) {
                    try openUnit(entry, stack, targetFolder, disks)
                } else {
                    try openFile(path, stack, targetFolder, lanes)
                }
            var disk = CaptureDisk(name: uniqueName(stem, among: disks), source: source, lane: lane)
            if (source as? FileSource)?.isBlockDevice == true { disk.access = access.pattern(of: path) }
            if source is ISCSISource { disk.access = .network }
            // With many processors, what may be in flight is better spread over all of them.
            if disk.access == .parallel, ParallelWork.processorCount <= 8 { disk.access = .paired }
            disks.append(disk)
            log.write(
                .info, "\(source.name): disk \(disks.last?.name ?? ""), \(source.lengthInBytes) bytes")
        }
        return disks
    }

    private func openFile(
        _ path: String, _ stack: BlockStack, _ targetFolder: String?, _ lanes: DiskLanes
    ) throws -> (String, String, FileSource) {
        let source = try FileSource(path)
        if let targetFolder, let objection = try stack.objectionToReading(source, targetFolder: targetFolder) {
            throw CaptureError.invalid(objection, hint: "name another target")
        }
        let base = String(path.split(separator: "/").last ?? "disk")
        if source.isBlockDevice, isOnlyLooking { return (base, lanes.lane(of: path), source) }
        if let targetFolder, let objection = try stack.objection(to: source, targetFolder: targetFolder) {
            throw CaptureError.invalid(objection, hint: "boot the live system: a clone is taken cold")
        }
        // Only now: a device that is in use must not be set read-only under its user.
        guard !source.isBlockDevice else { return (base, lanes.lane(of: path), try FileSource(path, protect: true)) }
        let stem = String(base.prefix(upTo: base.lastIndex(of: ".") ?? base.endIndex))
        // Files of one file system share its disks.
        return (stem, "files on \(source.deviceNumber)", source)
    }

    private func openUnit(
        _ entry: SourceWords.Entry, _ stack: BlockStack, _ targetFolder: String?, _ others: [CaptureDisk]
    ) throws -> (String, String, ISCSISource) {
        let url = try ISCSIURL(entry.path)
        let log = log
        var options = try session.session(for: ISCSIAddress(entry.path), log)
        if let initiator = entry.initiator { options.initiator = initiator }
        options.credentials = options.credentials ?? entry.credentials
        let source = try ISCSISource(
            url,
            ISCSISource.Options(
                session: options, connections: connections,
                cancellation: cancellation, onEvent: { log.write(.warning, $0) }))
        let identity = source.unit.identity
        // The kernel may be logged in to the same unit, and the target may lie there.
        if let targetFolder, identity.isAmong(try stack.worldWideNames(beneath: targetFolder)) {
            throw CaptureError.invalid(
                "the target \(targetFolder) lies on the source \(source.name) (\(identity.wwid ?? ""))",
                hint: "name another target")
        }
        if let same = others.first(where: { ($0.source as? ISCSISource)?.unit.identity == identity }),
            identity.isUniqueInTheWorld
        {
            throw CaptureError.invalid(
                "\(same.source.name) and \(source.name) are the same LUN (\(identity.wwid ?? ""))",
                hint: "name each disk once, by one of its paths")
        }
        let tail = url.target.description.split(separator: ":").last ?? ""
        return ("lun-\(identity.serial ?? String(tail))-\(url.lun)", "iscsi \(url.portal)", source)
    }

    private func uniqueName(_ stem: String, among disks: [CaptureDisk]) -> String {
        let name = FileName.sanitize(stem, fallback: "disk")
        let taken = Set(disks.map(\.name))
        var number = 1
        var unique = name
        while taken.contains(unique) {
            number += 1
            unique = "\(name)-\(number)"
        }
        return unique
    }
}
