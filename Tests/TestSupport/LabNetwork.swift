// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import Synchronization

/// A network of a test's own, with its servers: nothing of it is reachable from the host, or reaches the host.
///
/// A network namespace with a bridge, a mount namespace with an empty /run, where servers keep their sockets, and a
/// process namespace. They go with the process that holds them, whatever is in them, and that process goes with the
/// test's own, however that ends. Before, the servers end, the last made first. unshare(1), nsenter(1).
public final class LabNetwork: Sendable {
    /// The servers' address; all others in its network are machines'.
    public static let address = "10.99.0.1"
    /// The servers' address in IPv6; a machine gives itself its own, as nobody gives out any.
    public static let addressIPv6 = "fd00:99::1"
    /// The servers' address in the virtual network `vlan`.
    public static let vlanAddress = "10.99.20.1"
    /// Number of the virtual network behind `trunk`.
    public static let vlan = 20
    /// Ports that a machine's cable goes into, as a QEMU `-netdev` without its id.
    public enum Port: String, Sendable {
        /// In the network of `address`.
        case plain = "tap,ifname=tap0,script=no,downscript=no"
        /// In the same network, for a machine's second cable.
        case second = "tap,ifname=tap2,script=no,downscript=no"
        /// Nothing but frames of `vlan` pass, with their tag.
        case trunk = "socket,udp=127.0.0.1:7001,localaddr=127.0.0.1:7002"
    }

    /// Whether networks can be made here; for `.enabled(if:)`.
    public static let isAvailable: Bool =
        geteuid() == 0 && Tool.isInstalled("unshare", "nsenter", "ip", "dnsmasq", "rpcbind", "python3")

    private let holder: RunningTool
    /// The holder waits for its end, and hears of it when this process is no more.
    private let life: Int32
    private let scratch: TemporaryFolder
    private let servers = Mutex<[RunningTool]>([])

    /// Makes the network, with addresses for who asks by DHCP in the network of `address`.
    public init() throws {
        scratch = try TemporaryFolder()
        let ready = scratch.file("ready")
        guard mkfifo(ready, 0o600) == 0 else { throw ToolError("cannot make \(ready): errno \(errno)") }
        // Open on both sides: a holder that fails early keeps nobody waiting.
        let pipe = open(ready, O_RDWR | O_NONBLOCK | O_CLOEXEC)
        defer { close(pipe) }
        guard mkfifo(scratch.file("life"), 0o600) == 0 else { throw ToolError("cannot make a pipe: errno \(errno)") }
        life = open(scratch.file("life"), O_RDWR | O_CLOEXEC)
        holder = try RunningTool(
            "unshare",
            [
                "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", Self.setUp, "lab-network", ready,
                scratch.file("life"),
            ])
        var item = pollfd(fd: pipe, events: Int16(POLLIN), revents: 0)
        guard poll(&item, 1, 300_000) == 1 else {
            holder.send(SIGKILL)
            throw ToolError("the lab's network does not come up: \(try holder.wait().errors)")
        }
        try start(
            "dnsmasq",
            [
                "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--interface=br0",
                "--bind-interfaces", "--dhcp-range=10.99.0.100,10.99.0.199,1h", "--dhcp-authoritative",
                "--dhcp-leasefile=\(scratch.file("leases"))", "--pid-file=", "--log-facility=-",
            ])
        try start("python3", ["\(Fixtures.folder)/vlan-trunk", "\(Self.vlan)", "tap1", "7002", "7001"])
    }

    deinit {
        // Last in, first out; the holder, which everything needs, at the end.
        servers.withLock { servers in
            while let server = servers.popLast() { Self.end(server) }
        }
        // Its end is that of everything in its process namespace, and unshare waits for all of it.
        close(life)
        _ = try? holder.wait()
    }

    private static func end(_ tool: RunningTool) {
        tool.send(SIGKILL)
        _ = try? tool.wait()
    }

    /// rpcbind puts itself into the background when it answers.
    private static let setUp = """
        # Copies of what other tests have mounted just now: they would keep it busy for as long as the network lives.
        sed -n 's|^/dev/loop[0-9]* \\([^ ]*\\) .*|\\1|p' /proc/self/mounts |
            while read -r copy; do umount -l "$copy" || true; done
        # Processes look for their threads by the numbers that they have in here: libdispatch ends those that find none.
        mount -t proc proc /proc
        mount -t tmpfs tmpfs /run
        mkdir -p /run/rpcbind /run/tgtd
        ip link set lo up
        ip link add br0 type bridge
        ip address add \(address)/24 dev br0
        ip address add \(addressIPv6)/64 dev br0 nodad
        for port in tap0 tap2; do
            ip tuntap add $port mode tap
            ip link set $port master br0 up
        done
        ip link set br0 up
        ip tuntap add tap1 mode tap
        ip address add \(vlanAddress)/24 dev tap1
        ip link set tap1 up
        rpcbind -w
        echo ready >"$1"
        exec cat "$2"
        """

    /// Runs a program in the network to its end.
    public func run(_ program: String, _ arguments: [String] = []) throws -> Tool.Result {
        try Tool.run("nsenter", inside(program, arguments))
    }

    /// Runs a program in the network that must succeed, and returns its standard output.
    @discardableResult
    public func output(_ program: String, _ arguments: [String] = []) throws -> String {
        let result = try run(program, arguments)
        guard result.status == 0 else {
            throw ToolError("\(program) \(arguments.joined(separator: " ")): \(result.status) \(result.errors)")
        }
        return result.output
    }

    /// Starts a program in the network, which ends before the network does, at the latest.
    @discardableResult
    public func start(_ program: String, _ arguments: [String] = [], environment: [String] = []) throws -> RunningTool {
        let tool = try RunningTool("nsenter", inside(program, arguments), environment: environment)
        servers.withLock { $0.append(tool) }
        return tool
    }

    /// Ends a program that `start` started.
    public func stop(_ tool: RunningTool) {
        servers.withLock { $0.removeAll { $0 === tool } }
        Self.end(tool)
    }

    /// Returns what the DHCP server gave to the machine with this MAC address; nil when it did not ask.
    public func lease(of address: String) throws -> String? {
        let leases = try Tool.run("cat", [scratch.file("leases")]).output
        let words = leases.split(separator: "\n").map { $0.split(separator: " ") }
        return words.last { $0.count > 2 && $0[1] == address }.map { String($0[2]) }
    }

    /// nsenter waits for the program, which does not outlive it: it is the one that is sent a signal.
    private func inside(_ program: String, _ arguments: [String]) -> [String] {
        [
            "--target", "\(holder.processID)", "--net", "--mount",
            "--pid=/proc/\(holder.processID)/ns/pid_for_children", "--wd=/", "--",
        ]
            + ["setpriv", "--pdeathsig", "KILL", program] + arguments
    }
}
