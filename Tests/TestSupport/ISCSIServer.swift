// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import Synchronization

/// A target daemon of a test's own, on loopback or in a lab network, ended with the last reference.
///
/// tgtd(8). It ignores SIGTERM, and asks for nothing but root.
public final class ISCSIServer: Sendable {
    /// TCP port of its portal.
    public let port: UInt16
    /// Its portal.
    public var portal: String { "\(network == nil ? "127.0.0.1" : LabNetwork.address):\(port)" }

    private let network: LabNetwork?
    private let control: Int32
    private let daemon: Mutex<RunningTool?>
    private static let controls = Atomic<Int32>(0)

    /// Whether a server can run here; for `.enabled(if:)`.
    public static var isAvailable: Bool {
        geteuid() == 0 && Tool.isInstalled("tgtd", "tgtadm")
    }

    /// Starts a daemon without targets, on loopback or in `network`.
    public init(in network: LabNetwork? = nil) throws {
        self.network = network
        port = network == nil ? try Loopback.freePort() : 3260
        // Control numbers are shared by all daemons of the machine: other test runs' process ids differ from ours.
        let number = Self.controls.add(1, ordering: .relaxed).newValue
        control = 1 + (getpid() % 300) * 100 + number % 100
        daemon = Mutex(nil)
        try start()
    }

    deinit { try? stop() }

    /// Starts the daemon again, without targets, after `stop`.
    public func start() throws {
        let ready = try ReadySocket()
        let arguments = ["-f", "-C", "\(control)", "--iscsi", "portal=\(portal)"]
        let environment = ["NOTIFY_SOCKET=\(ready.path)"]
        let tool =
            try network?.start("tgtd", arguments, environment: environment)
            ?? RunningTool("tgtd", arguments, environment: environment)
        daemon.withLock { $0 = tool }
        guard ready.wait() else { throw ToolError("tgtd does not start") }
    }

    /// Kills the daemon, connections and all.
    public func stop() throws {
        guard let tool = daemon.withLock({ $0.take() }) else { return }
        tool.send(SIGKILL)
        _ = try tool.wait()
        // In a lab network they go with it.
        guard network == nil else { return }
        unlink("/var/run/tgtd/socket.\(control)")
        unlink("/var/run/tgtd/socket.\(control).lock")
    }

    /// Makes target number `id`, which admits every initiator unless `admitting` names one.
    public func addTarget(_ id: Int, _ name: String, admitting: String? = nil) throws {
        try administer("target", "new", ["--tid", "\(id)", "-T", name])
        let who = admitting.map { ["-Q", $0] } ?? ["-I", "ALL"]
        try administer("target", "bind", ["--tid", "\(id)"] + who)
    }

    /// Gives target `id` a unit with the content of `file`.
    public func addUnit(_ id: Int, _ lun: Int, _ file: String, blockSize: Int = 512, _ parameters: [String] = []) throws
    {
        try administer(
            "logicalunit", "new",
            ["--tid", "\(id)", "--lun", "\(lun)", "--backing-store", file, "--blocksize", "\(blockSize)"])
        if !parameters.isEmpty {
            try administer(
                "logicalunit", "update",
                ["--tid", "\(id)", "--lun", "\(lun)", "--params", parameters.joined(separator: ",")])
        }
    }

    /// Takes a unit away.
    public func removeUnit(_ id: Int, _ lun: Int) throws {
        try administer("logicalunit", "delete", ["--tid", "\(id)", "--lun", "\(lun)"])
    }

    /// Lets target `id` ask for CHAP, or prove itself by it when `outgoing`.
    public func addAccount(_ id: Int, _ user: String, _ password: String, outgoing: Bool = false) throws {
        try administer("account", "new", ["--user", user, "--password", password])
        try administer(
            "account", "bind", ["--tid", "\(id)", "--user", user] + (outgoing ? ["--outgoing"] : []))
    }

    private func administer(_ mode: String, _ operation: String, _ arguments: [String]) throws {
        let arguments = ["-C", "\(control)", "--lld", "iscsi", "--mode", mode, "--op", operation] + arguments
        if let network {
            try network.output("tgtadm", arguments)
        } else {
            try Tool.output("tgtadm", arguments)
        }
    }
}

/// Sockets on loopback.
public enum Loopback {
    /// Returns a port that nobody listens on now.
    public static func freePort() throws -> UInt16 {
        let socket = try listen(port: 0)
        defer { close(socket.descriptor) }
        return socket.port
    }

    /// Opens a listening socket; port 0 lets the kernel choose.
    static func listen(port: UInt16) throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 && Glibc.listen(descriptor, 64) == 0
                    && getsockname(descriptor, address, &length) == 0
            }
        }
        guard result else {
            let error = errno
            close(descriptor)
            throw ToolError("cannot listen on port \(port): errno \(error)")
        }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    /// Connects to a port.
    static func connect(port: UInt16) -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, length) }
        }
        guard result == 0 else {
            close(descriptor)
            return nil
        }
        return descriptor
    }
}
