// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import Synchronization

/// An NFS server in a lab network, for versions 3 to 4.2, with one export that anybody may write to as root.
///
/// nfs-ganesha: the host's kernel need know nothing of NFS.
public final class NFSServer: Sendable {
    /// Whether a server can run here; for `.enabled(if:)`.
    public static let isAvailable: Bool = LabNetwork.isAvailable && Tool.isInstalled("ganesha.nfsd", "mkfs.ext4")

    /// Where the export is mounted from: `<address>:/export`.
    public static let exportPath = "/export"
    /// The exported folder; where it is a file system of its own, only `network` sees what is in it.
    public let folder: String

    private let network: LabNetwork
    private let scratch: TemporaryFolder
    private let daemon = Mutex<RunningTool?>(nil)

    /// Starts a server, with an export of `capacityInMiB` where that is given.
    public init(in network: LabNetwork, capacityInMiB: Int? = nil) throws {
        self.network = network
        scratch = try TemporaryFolder(in: TemporaryFolder.parentOnDisk ?? "/tmp")
        folder = try scratch.folder("export")
        _ = try scratch.folder("state")
        if let capacityInMiB {
            let image = scratch.file("image")
            try Tool.output("truncate", ["-s", "\(capacityInMiB)M", image])
            try Tool.output("mkfs.ext4", ["-q", "-m", "0", image])
            // Unmounted with the network's mount namespace.
            try network.output("mount", ["-o", "loop", image, folder])
        }
        try Folder.writeDurably(Array(configuration.utf8), to: "ganesha.conf", in: scratch.path)
        try start()
    }

    deinit { stop() }

    /// Starts the server again after `stop`; clients find what they had open.
    public func start() throws {
        let tool = try network.start(
            "ganesha.nfsd",
            [
                "-F", "-f", scratch.file("ganesha.conf"), "-L", scratch.file("log"), "-p", scratch.file("pid"), "-N",
                "NIV_EVENT",
            ])
        daemon.withLock { $0 = tool }
    }

    /// Kills the server: who uses it hears nothing more.
    public func stop() {
        guard let tool = daemon.withLock({ $0.take() }) else { return }
        network.stop(tool)
    }

    /// Returns what the server logged.
    public var log: String { (try? Tool.run("tail", ["-n", "40", scratch.file("log")]).output) ?? "" }

    /// Returns the folders in the export that hold a manifest: clones that stand.
    public func clones() throws -> [String] {
        let found = try network.output(
            "find", [folder, "-mindepth", "2", "-maxdepth", "2", "-name", "manifest.json", "-printf", "%h\\n"])
        return found.split(separator: "\n").map(String.init).sorted()
    }

    private var configuration: String {
        """
        NFS_CORE_PARAM {
            Protocols = 3, 4;
            Enable_NLM = false;
            Enable_RQUOTA = false;
            Enable_UDP = false;
            Mount_Path_Pseudo = true;
        }
        NFS_KRB5 { Active_krb5 = false; }
        NFSV4 {
            Graceless = true;
            Lease_Lifetime = 10;
            Grace_Period = 5;
            RecoveryBackend = fs;
            RecoveryRoot = \(scratch.file("state"));
        }
        EXPORT {
            Export_Id = 1;
            Path = \(folder);
            Pseudo = \(Self.exportPath);
            Access_Type = RW;
            Squash = No_Root_Squash;
            Protocols = 3, 4;
            Transports = TCP;
            SecType = sys;
            FSAL { Name = VFS; }
        }

        """
    }
}
