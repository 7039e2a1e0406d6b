// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import BlockIO
internal import Capture
internal import CloneFormat
internal import Console
internal import DiskImage
internal import Probing

/// `coldclone capture`.
struct CaptureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture",
        abstract: "Copy disks into a new clone on the target, hashing every MiB as it is read.",
        discussion: """
            Each SOURCE is a whole block device, a disk image file, or a LUN, iscsi://HOST[:PORT]/TARGET/LUN; it is \
            opened read-only, and a device is set read-only in the kernel first. The clone's folder is named after the machine and the time.

            `all` stands for every disk of this machine but the live system's and those on USB, e-SATA or in a drive; \
            `iscsi:known` for every LUN of the targets that the firmware boots from or an installed system has records \
            of, logged in to under the name they know the machine by, and with the CHAP secrets of these records unless \
            --chap-file or the environment has others.

            What nothing uses is not read: free space of clean ext2/3/4, XFS, btrfs, NTFS, FAT and exFAT, swap, and \
            extents that no logical volume has. Before that, everything that files and metadata use is held against \
            what is called free. Whatever is unclean, encrypted, damaged or unknown is copied whole; the manifest says why. \
            `coldclone plan` shows it beforehand.

            EXAMPLES
              coldclone capture /dev/sda --target dir:/mnt/nfs
              coldclone capture /dev/sda /dev/sdb --target dir:/mnt/usb --compression zstd --name web01
              coldclone capture disk.img --target dir:clones --format raw
              coldclone capture iscsi://10.0.0.1/iqn.2001-04.com.example:db/1 --target dir:/mnt/nfs --chap-file chap
              coldclone capture /dev/sda --target dir:/mnt/nfs --base web01-20261122T103000Z
              coldclone capture --resume /mnt/nfs/web01-20261122T103000Z

            A second pass shortly before cut-over stores what changed since an earlier clone, its --base: the source is             read again, but the new images are qcow2 overlays that need the base beside them. With --base-copy they             hold everything, and share the base's storage where the target can do that.

            An interrupted capture (a signal, a power cut, a target that went away) leaves a clone without manifest. \
            --resume re-reads what is there, and goes on behind it; format and compression are the clone's own.
            """)

    @Argument(help: "Block devices, disk image files or iscsi:// URLs, in the machine's order; all; iscsi:known.")
    var sources: [String] = []

    @Option(help: "Folder that the clone is made in: dir:PATH.")
    var target: TargetSpecification?

    @Option(
        help: "Go on with the interrupted clone in this folder; SOURCEs only where they have other names now.",
        completion: .directory)
    var resume: String?

    @Option(help: "Store only what changed since this earlier clone: its folder, or its name in the target's.")
    var base: String?

    @Flag(help: "Make images that hold everything and do not need the --base; equal content is shared with it.")
    var baseCopy = false

    @Option(help: "Format of the images.")
    var format: ImageFormat = .qcow2

    @Option(
        help: "Compression of qcow2 images; auto compresses with zstd while the target is what everything waits for.")
    var compression: CompressionChoice = .fixed(.none)

    @Option(help: "Compression level: zlib 1 to 12, zstd 1 to 22. (default: the fastest that shrinks well)")
    var level: Int?

    @Option(help: "Bytes a qcow2 cluster: a power of two, 512 to 2MiB.")
    var clusterSize = ByteSize(bytes: 64 << 10)

    @Option(help: "Name of the machine in the clone's name. (default: the DMI serial number)")
    var name: String?

    @Option(help: "Most memory for data in flight.")
    var memory = ByteSize(bytes: 256 << 20)

    @Option(
        help: """
            Pieces of a disk in work at the same time, half of them being read. (default: 4 to 8 a processor, 8 to 64 \
            in all)
            """)
    var jobs: Int?

    @Option(help: "Most bytes that are read a second, such as 50MiB.")
    var rateLimit: ByteSize?

    @Option(
        help:
            "Most disks that are read at the same time; those behind one RAID controller or USB link are read in turns."
    )
    var parallelDisks = 4

    @Option(help: "How often bad sectors are read again, after everything else is safe.")
    var retries = 1

    @Option(help: "Longest time for a disk's bad places, such as 90s, 30m or 2h; 0 for as long as it takes.")
    var timeoutPerDisk = TimeSpan(seconds: 3600)

    @Flag(
        inversion: .prefixedNo,
        help: """
            Write images past the page cache where the target grants it, or never. (default: as a trial on the target \
            shows, for long captures without compression onto ext4 and XFS)
            """)
    var direct: Bool?

    @OptionGroup(title: "Free space")
    var freeSpace: FreeSpaceArguments

    @OptionGroup(title: "iSCSI")
    var iscsi: ISCSIArguments

    @Flag(help: "Leave the machine's inventory out of the manifest.")
    var skipProbe = false

    @Option(help: "Connections to each LUN: more may be faster, where the target takes them.")
    var iscsiConnections = 1

    @Flag(help: "Print one JSON object with the result instead of a table.")
    var json = false

    @Option(help: "How much to tell on standard error.")
    var logLevel: LogLevel = .warning

    func validate() throws {
        if resume == nil {
            if sources.isEmpty { throw ValidationError("name at least one SOURCE") }
            if target == nil { throw ValidationError("name a --target") }
        } else if target != nil {
            throw ValidationError("--resume names the clone's folder: leave out --target")
        } else if base != nil {
            throw ValidationError("--resume goes on with the base that the clone was begun with: leave out --base")
        }
        if baseCopy, base == nil { throw ValidationError("--base-copy needs a --base") }
        if base != nil, !baseCopy, format == .raw {
            throw ValidationError("a raw image cannot leave out what its base has: use qcow2, or --base-copy")
        }
        if let jobs, !(1...1024).contains(jobs) { throw ValidationError("--jobs is 1 to 1024") }
        if !(1...16).contains(iscsiConnections) { throw ValidationError("--iscsi-connections is 1 to 16") }
        if !(1...64).contains(parallelDisks) { throw ValidationError("--parallel-disks is 1 to 64") }
        if !(0...1000).contains(retries) { throw ValidationError("--retries is 0 to 1000") }
        if format == .raw, compression != .fixed(.none) {
            throw ValidationError("a raw image cannot be compressed: use --format qcow2, or --compression none")
        }
    }

    func run() throws {
        let cancellation = CancellationFlag()
        SignalWatcher.start { cancellation.cancel() }
        let log = Log(level: logLevel)
        var options = CaptureOptions(
            format: format, compression: compression.compression, level: level, clusterSize: clusterSize.bytes,
            memoryLimit: memory.bytes, jobs: jobs, writesDirect: direct ?? false)
        options.choosesDirect = direct == nil
        options.adaptsCompression = compression == .auto
        options.rateLimit = rateLimit?.bytes
        options.parallelDisks = parallelDisks
        options.retries = retries
        options.recoveryTimeLimit = timeoutPerDisk.seconds == 0 ? nil : .seconds(timeoutPerDisk.seconds)
        let opening = SourceOpening(
            session: iscsi.sessions, connections: iscsiConnections, log: log, cancellation: cancellation)
        var work = CloneWork(opening: opening, options: options, freeSpace: freeSpace.record)
        work.takesInventory = !skipProbe
        work.name = name
        let progress = work.progress
        let reporter = ProgressReporter { progress.sample }
        let clock = ContinuousClock()
        let start = clock.now
        let outcome: CloneCapture.Outcome
        do {
            defer { reporter.finish() }
            outcome =
                if let resume {
                    try work.resume(try CloneResume(folder: resume), in: resume, sources: sources)
                } else {
                    try begin(work)
                }
        }
        let report = CaptureReport(outcome, seconds: (clock.now - start) / .seconds(1))
        Terminal.standardOutput.write(json ? try report.json() : report.text())
        if outcome.manifest.state == .degraded { throw Verdictless(code: .degraded) }
    }

    private func begin(_ work: CloneWork) throws -> CloneCapture.Outcome {
        let folder = target?.folder ?? ""
        let base = try self.base.map {
            // A plain name is that of a clone in the target's folder.
            try CaptureBase(
                folder: $0.contains("/") ? $0 : "\(folder)/\($0)", target: folder, kind: baseCopy ? .copy : .overlay)
        }
        let disks = try work.opening.open(sources, targetFolder: folder)
        let used = try work.usedSpace(of: disks)
        return try work.begin(used, disks, identity: work.identity(of: sources), target: folder, base: base)
    }
}
