// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
public import CloneFormat
internal import DiskImage
internal import Verification

/// An earlier clone of the same machine: what did not change since is not stored again.
///
/// The source is read in full all the same, and hashed; a chunk is unchanged when its digest is the base's.
public struct CaptureBase: Sendable {
    /// What the new clone records of it.
    public let record: BaseRecord
    private let folder: String
    private let manifest: Manifest
    private let chain: CloneChain

    /// Takes the complete clone in `folder`, which lies in the folder `target` that the new one is made in.
    ///
    /// - Throws: `CaptureError` for a clone that is incomplete, elsewhere, or the end of a chain that is too long.
    public init(folder: String, target: String, kind: BaseRecord.Kind) throws(CaptureError) {
        func refused(_ reason: String, hint: String? = nil) -> CaptureError {
            .invalid("\(folder) cannot be the base: \(reason)", hint: hint)
        }
        let opened: PinnedFolder
        do throws(BlockError) { opened = try PinnedFolder(folder) } catch { throw refused(error.description) }
        let reading: ManifestReading
        do throws(VerificationError) { reading = try ManifestReading(folder: opened) } catch {
            throw refused(error.description)
        }
        guard let manifest = reading.manifest, let digest = reading.digest else {
            throw refused(
                reading.problem?.message ?? "it has no manifest",
                hint: "coldclone capture --resume \(folder) completes it, if it was interrupted")
        }
        let depth = kind == .copy ? 0 : (manifest.base.map { $0.kind == .overlay ? $0.depth : 0 } ?? 0) + 1
        guard depth < BaseRecord.maximumDepth else {
            throw refused(
                "it is \(depth) clones deep already, and none is made deeper than \(BaseRecord.maximumDepth)",
                hint: "use --base-copy, or capture without --base")
        }
        record = BaseRecord(
            kind: kind, cloneId: manifest.cloneId, cloneUuid: manifest.cloneUuid, manifestDigest: digest, depth: depth)
        self.folder = folder
        self.manifest = manifest
        let place = "\(target)/\(manifest.cloneId)"
        guard FileName.isSafe(manifest.cloneId), Folder.isDirectory(place), Folder.isSame(folder, place) else {
            throw refused(
                "it is not the folder \(manifest.cloneId) of the target \(target)",
                hint: "the new clone names it by its place beside itself: choose the base's folder as target")
        }
        do throws(CloneChain.Failure) {
            chain = try CloneChain(behind: opened, manifest.base)
        } catch {
            throw refused(error.message)
        }
    }

    /// Takes the base of the interrupted clone in `folder` again, which must not have changed.
    init(of folder: String, _ record: BaseRecord) throws(CaptureError) {
        try self.init(folder: "\(folder)/../\(record.cloneId)", target: "\(folder)/..", kind: record.kind)
        guard self.record == record else {
            throw .notResumable(folder: folder, reason: "\(record.cloneId) is not the base that it was begun with")
        }
    }

    /// Checks that a clone of `disks` can be made against it, before anything is begun.
    ///
    /// - Throws: `CaptureError` when the base is of another machine or other disks, or damaged.
    public func check(
        _ disks: [CaptureDisk], machine: MachineIdentity, options: CaptureOptions
    ) throws(CaptureError) {
        _ = try applied(to: disks, machine: machine, options: options)
    }

    /// Returns `disks`, each with what the base knows of it.
    ///
    /// - Throws: `CaptureError` when the base is of another machine or other disks.
    func applied(
        to disks: [CaptureDisk], machine: MachineIdentity, options: CaptureOptions
    ) throws(CaptureError) -> [CaptureDisk] {
        func refused(_ reason: String) -> CaptureError {
            .invalid("\(folder) cannot be the base: \(reason)", hint: "capture without --base")
        }
        guard manifest.machine.name == machine.name else {
            throw refused("it is of the machine \(manifest.machine.name.debugDescription)")
        }
        if record.kind == .overlay, options.format == .raw {
            throw .invalid(
                "a raw image holds everything: it cannot leave out what its base has",
                hint: "use --format qcow2, or --base-copy")
        }
        var disks = disks
        for index in disks.indices {
            guard let entry = manifest.disks.first(where: { $0.name == disks[index].name }) else { continue }
            let length = disks[index].source.lengthInBytes
            guard entry.lengthInBytes == length else {
                throw refused("its \(entry.name) has \(entry.lengthInBytes) bytes, and \(disks[index].name) \(length)")
            }
            disks[index].base = try BaseDisk(
                entry, folder: folder, clone: record, cloneUUID: manifest.cloneUuid, chain: chain)
        }
        guard disks.contains(where: { $0.base != nil }) else { throw refused("it has none of these disks") }
        return disks
    }
}
