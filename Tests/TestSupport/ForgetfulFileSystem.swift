// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import Synchronization
public import SystemPackage

/// A mounted file system whose power can be cut at a given operation, and which then forgets what it may.
///
/// A server of the kernel's FUSE protocol on a thread of its own: whatever program writes there is none the wiser. After
/// the cut every request fails with the errno asked for, until `restart`.
/// fuse(4), linux/fuse.h (version 7.31).
public final class ForgetfulFileSystem: Sendable {
    private struct State {
        var disk: ForgetfulDisk
        /// Changes until the power is cut; nil for never.
        var changesLeft: Int?
        var changeCount = 0
        var failure: Errno?
        var cutsWith = Errno.ioError
    }

    /// Where it is mounted.
    public let folder: String
    private let scratch: TemporaryFolder
    private let device: Int32
    private let state: Mutex<State>

    /// Whether it can be mounted here; for `.enabled(if:)`.
    public static let isPossible: Bool = {
        guard geteuid() == 0, let system = try? ForgetfulFileSystem() else { return false }
        return (try? Tool.run("test", ["-d", system.folder]))?.status == 0
    }()

    /// Mounts an empty one.
    public init() throws {
        scratch = try TemporaryFolder()
        folder = try scratch.folder("mounted")
        device = open("/dev/fuse", O_RDWR | O_CLOEXEC)
        guard device >= 0 else { throw ToolError("cannot open /dev/fuse: errno \(errno)") }
        state = Mutex(State(disk: ForgetfulDisk(scratch: scratch.path)))
        let options = "fd=\(device),rootmode=40000,user_id=0,group_id=0,allow_other,max_read=1048576"
        guard mount("forgetful", folder, "fuse", UInt(MS_NOSUID | MS_NODEV), options) == 0 else {
            close(device)
            throw ToolError("cannot mount \(folder): errno \(errno)")
        }
        // The thread ends when the kernel says that the file system is unmounted; it must not keep this object.
        let server = FuseServer(device: device) { [weak self] in self?.answer($0) ?? .failure(.ioError) }
        try server.start()
    }

    deinit {
        if umount2(folder, 0) != 0 { umount2(folder, 2) }
        state.withLock { $0.disk.close() }
    }

    /// Number of changes so far: writes, names, lengths and synchronisations.
    public var changeCount: Int { state.withLock { $0.changeCount } }

    /// Cuts the power before the change with number `count` from now on.
    public func cutPower(after count: Int, failingWith errno: Errno = .ioError) {
        state.withLock { state in
            state.changesLeft = count
            state.cutsWith = errno
        }
    }

    /// Cuts the power, and starts again with what is left, as the seed decides.
    public func restart(seed: UInt64) {
        state.withLock { state in
            var generator = SeededGenerator(seed: seed)
            state.disk.cut(&generator)
            state.failure = nil
            state.changesLeft = nil
        }
    }

    /// Goes on as if nothing had happened: an outage, not a power cut.
    public func comeBack() {
        state.withLock { state in
            state.failure = nil
            state.changesLeft = nil
        }
    }

    /// Makes all that is there durable.
    public func settle() { state.withLock { $0.disk.settle() } }

    // MARK: Requests

    private func answer(_ request: FuseRequest) -> FuseAnswer {
        state.withLock { state in
            if request.isChange {
                state.changeCount += 1
                if let left = state.changesLeft {
                    if left == 0 { state.failure = state.cutsWith } else { state.changesLeft = left - 1 }
                }
            }
            if let failure = state.failure { return .failure(failure) }
            return Self.answer(request, &state.disk)
        }
    }

    private static func answer(_ request: FuseRequest, _ disk: inout ForgetfulDisk) -> FuseAnswer {
        guard let node = disk.nodes[request.node] else { return .failure(.staleNFSFileHandle) }
        switch request.body {
        case .lookUp(let name):
            guard let number = disk.number(of: name, in: request.node) else { return .failure(.noSuchFileOrDirectory) }
            return entry(number, disk)
        case .attributes: return .attributes(attributes(request.node, disk))
        case .setLength(let length):
            if let length { disk.truncate(request.node, to: length) }
            return .attributes(attributes(request.node, disk))
        case .make(let name, let isFolder):
            guard disk.number(of: name, in: request.node) == nil else { return .failure(.fileExists) }
            let number = disk.create(name, in: request.node, isFolder: isFolder)
            return isFolder ? entry(number, disk) : .created(number, attributes(number, disk))
        case .remove(let name):
            guard disk.number(of: name, in: request.node) != nil else { return .failure(.noSuchFileOrDirectory) }
            disk.unlink(name, in: request.node)
            return .done
        case .rename(let name, let folder, let other):
            guard folder == request.node else { return .failure(.improperLink) }
            guard disk.number(of: name, in: request.node) != nil else { return .failure(.noSuchFileOrDirectory) }
            disk.rename(name, to: other, in: request.node)
            return .done
        case .open: return .opened
        case .read(let offset, let count): return .content(file: node.current, offset: offset, count: count)
        case .write(let offset, let bytes):
            disk.write(bytes, at: offset, to: request.node)
            return .written(bytes.count)
        case .synchronize:
            disk.synchronize(request.node)
            return .done
        case .list(let offset):
            return .names(node.names.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, from: offset)
        case .space: return .space
        case .nothing: return .done
        case .unknown: return .failure(.noFunction)
        }
    }

    private static func attributes(_ number: UInt64, _ disk: ForgetfulDisk) -> FuseAttributes {
        FuseAttributes(
            number: number, length: disk.length(of: number), isFolder: disk.nodes[number]?.isFolder ?? false)
    }

    private static func entry(_ number: UInt64, _ disk: ForgetfulDisk) -> FuseAnswer {
        .entry(number, attributes(number, disk))
    }
}
