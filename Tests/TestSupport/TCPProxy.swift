// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import Synchronization

/// A relay on loopback that breaks connections where a test wants it.
public final class TCPProxy: Sendable {
    /// What happens to a connection after so many bytes from the server.
    public struct Fault: Sendable {
        /// The ways to break.
        public enum Kind: Sendable {
            /// Both sides see the end.
            case close
            /// The client sees a reset.
            case reset
            /// Nothing is passed on any more, and nobody sees an end.
            case stall
        }

        var bytes: Int
        var kind: Kind

        /// Makes a fault.
        public init(after bytes: Int, _ kind: Kind) {
            self.bytes = bytes
            self.kind = kind
        }
    }

    private struct State {
        var faults: [Fault]
        var repeats: Bool
        var isClosed = false
        var isRefusing = false
        var connections = 0
        var sent: [[UInt8]] = []
    }

    /// Where clients connect.
    public let port: UInt16
    private let shared: Shared

    private final class Shared: Sendable {
        let state: Mutex<State>
        let server: UInt16
        let strike: Event
        init(_ server: UInt16, _ state: State) throws {
            self.server = server
            strike = try Event()
            self.state = Mutex(state)
        }
    }

    /// Relays to `server`, on loopback; each connection takes the next of `faults`, the last again when `repeats`.
    public init(to server: UInt16, faults: [Fault] = [], repeats: Bool = false) throws {
        shared = try Shared(server, State(faults: faults, repeats: repeats))
        let (descriptor, port) = try Loopback.listen(port: 0)
        self.port = port
        let shared = shared
        startThread { Self.accept(descriptor, shared) }
    }

    deinit { shared.state.withLock { $0.isClosed = true } }

    /// Connections that clients made.
    public var connections: Int { shared.state.withLock { $0.connections } }
    /// Waits for the next fault to strike; false when none does.
    public func waitForStrike() -> Bool { shared.strike.wait() }
    /// What clients sent, a connection each.
    public var sent: [[UInt8]] { shared.state.withLock { $0.sent } }
    /// Lets the connections to come, when there are faults left, run into them.
    public func add(_ fault: Fault) { shared.state.withLock { $0.faults.append(fault) } }
    /// Turns new connections away, or not.
    public func refuse(_ isRefusing: Bool) { shared.state.withLock { $0.isRefusing = isRefusing } }

    private static func accept(_ descriptor: Int32, _ shared: Shared) {
        defer { close(descriptor) }
        while !shared.state.withLock({ $0.isClosed }) {
            guard isReadable(descriptor) else { continue }
            let client = Glibc.accept(descriptor, nil, nil)
            guard client >= 0 else { continue }
            let plan = shared.state.withLock { state -> (number: Int, fault: Fault?)? in
                guard !state.isRefusing else { return nil }
                state.connections += 1
                state.sent.append([])
                let fault = state.faults.first
                if fault != nil, !(state.repeats && state.faults.count == 1) { state.faults.removeFirst() }
                return (state.sent.count - 1, fault)
            }
            guard let plan, let server = Loopback.connect(port: shared.server) else {
                close(client)
                continue
            }
            startThread { relay(client, server, plan.number, plan.fault, shared) }
        }
    }

    private static func relay(_ client: Int32, _ server: Int32, _ number: Int, _ fault: Fault?, _ shared: Shared) {
        defer {
            close(client)
            close(server)
        }
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        var passed = 0
        var isStalled = false
        while !shared.state.withLock({ $0.isClosed }) {
            if isStalled {
                // What arrives is left lying; only that the client has gone is noticed.
                var item = pollfd(fd: client, events: 0, revents: 0)
                if poll(&item, 1, 50) > 0 { return }
                continue
            }
            var items = [client, server].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&items, 2, 50) > 0 else { continue }
            if items[0].revents != 0 {
                let count = recv(client, &buffer, buffer.count, 0)
                guard count > 0, sendAll(server, buffer[..<count]) else { return }
                shared.state.withLock { state in
                    if state.sent[number].count < 8 << 20 { state.sent[number] += buffer[..<count] }
                }
            }
            guard items[1].revents != 0 else { continue }
            let count = recv(server, &buffer, buffer.count, 0)
            guard count > 0 else { return }
            let most = fault.map { max($0.bytes - passed, 0) } ?? count
            guard sendAll(client, buffer[..<min(count, most)]) else { return }
            passed += count
            guard let fault, passed >= fault.bytes else { continue }
            shared.strike.signal()
            switch fault.kind {
            case .close: return
            case .reset:
                var linger = linger(l_onoff: 1, l_linger: 0)
                setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
                return
            case .stall: isStalled = true
            }
        }
    }
}

/// Waits a moment for something to read.
func isReadable(_ descriptor: Int32) -> Bool {
    var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&item, 1, 50) > 0
}

/// Sends all of `bytes`; false when the other side has gone.
func sendAll(_ descriptor: Int32, _ bytes: ArraySlice<UInt8>) -> Bool {
    bytes.withUnsafeBytes { buffer in
        var done = 0
        while done < buffer.count {
            let count = send(
                descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, Int32(MSG_NOSIGNAL))
            guard count > 0 else { return false }
            done += count
        }
        return true
    }
}

/// Runs `body` on a thread that nobody waits for.
public func startThread(_ body: @escaping @Sendable () -> Void) {
    final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let box = Unmanaged.passRetained(Start(body))
    var thread = pthread_t()
    let result = pthread_create(
        &thread, nil,
        { raw in
            guard let raw else { return nil }
            Unmanaged<Start>.fromOpaque(raw).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
    if result == 0 { pthread_detach(thread) } else { box.release() }
}
