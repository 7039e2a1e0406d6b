// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CISCSI
internal import Glibc

/// One session with one target, or with a discovery service: a context of the library.
///
/// One thread at a time may use it. It never reconnects by itself: a broken one is thrown away, and whatever it had not
/// answered comes back as `broken`, after which the library has let go of the memory.
final class Connection {
    /// Who logs in, and how.
    struct Configuration: Sendable {
        var initiator: ISCSIName
        var credentials: CHAPCredentials?
        /// Nil for discovery.
        var target: ISCSIName?
    }

    /// A command under way.
    final class Command {
        fileprivate var task: UnsafeMutablePointer<scsi_task>?
        // It outlives no command; weak would be nil already while its deinit ends them.
        fileprivate unowned(unsafe) let connection: Connection
        fileprivate let whenFinished: (Outcome) -> Void
        fileprivate init(_ connection: Connection, _ whenFinished: @escaping (Outcome) -> Void) {
            self.connection = connection
            self.whenFinished = whenFinished
        }
    }

    /// How long something may take, and what else ends the wait for it.
    struct Patience {
        /// Seconds in all.
        var timeout: Double
        /// When they are over.
        var deadline: Double
        /// Wakes the waiting thread, to look whether it is cancelled.
        var wakeUp: WakeUp?
        var isCancelled: () -> Bool

        init(timeout: Double, wakeUp: WakeUp? = nil, isCancelled: @escaping () -> Bool = { false }) {
            self.timeout = timeout
            deadline = Monotonic.now + timeout
            self.wakeUp = wakeUp
            self.isCancelled = isCancelled
        }
    }

    /// Receives the end of something that is not a command.
    private final class Milestone {
        var status: Int32?
        var text = ""
        var targets: [DiscoveredTarget] = []
    }

    private let configuration: Configuration
    private let context: OpaquePointer
    private var commands: [ObjectIdentifier: Command] = [:]
    private var milestones: [Milestone] = []
    private var isLoggingIn = false
    private var negotiated: [String: String] = [:]
    /// Bytes that make it worth waking up while content streams in: a few segments of most targets.
    private static let worthWaking: Int32 = 1 << 20
    /// Bytes from which the kernel reports content at present.
    private var wakesFrom: Int32 = 1
    /// Why the connection is of no use any more; nil while it is.
    private(set) var breakage: String?
    /// When the target last said anything.
    private(set) var lastHeard = Monotonic.now

    /// Number of commands under way.
    var inFlight: Int { commands.count }

    init(_ configuration: Configuration) throws(ISCSIError) {
        self.configuration = configuration
        guard let context = iscsi_create_context(configuration.initiator.description) else {
            throw ISCSIError("start a connection", .invalid("out of memory"))
        }
        self.context = context
        // The environment may have turned on a log to standard error.
        iscsi_set_log_level(context, 0)
        iscsi_set_noautoreconnect(context, 1)
        // Its own choice repeats within a second, and a session of the same name at the same target ends the first.
        iscsi_set_isid_random(context, .random(in: 0..<1 << 24), .random(in: 0..<1 << 16))
        iscsi_set_header_digest(context, ISCSI_HEADER_DIGEST_NONE_CRC32C)
        iscsi_set_session_type(
            context, configuration.target == nil ? ISCSI_SESSION_DISCOVERY : ISCSI_SESSION_NORMAL)
        if let target = configuration.target { iscsi_set_targetname(context, target.description) }
        if let credentials = configuration.credentials {
            iscsi_set_initiator_username_pwd(
                context, credentials.initiator.user, credentials.initiator.password.revealed)
            if let target = credentials.target {
                iscsi_set_target_username_pwd(context, target.user, target.password.revealed)
            }
        }
    }

    deinit {
        iscsi_destroy_context(context)
        // The library has called back for whatever it still had; this is for what it forgot.
        for command in commands.values {
            if let task = command.task { scsi_free_scsi_task(task) }
            command.whenFinished(.broken(breakage ?? "the connection was closed"))
        }
    }

    // MARK: Login

    /// Connects to `portal`, whose host is an address, and logs in; follows the target when it has moved.
    ///
    /// - Throws: `ISCSIError`, `cancelled` when `isCancelled` says so.
    static func logIn(
        to portal: ISCSIPortal, _ configuration: Configuration, _ patience: Patience
    ) throws(ISCSIError) -> Connection {
        var portal = portal
        for _ in 0..<5 {
            let connection = try Connection(configuration)
            guard let moved = try connection.logIn(to: portal, patience) else { return connection }
            guard let next = ISCSIPortal(moved) else {
                throw ISCSIError(connection.loginAction(portal), .badAnswer("it sends us to an address that is none"))
            }
            portal = try NameResolution.addresses(of: next).first ?? next
        }
        throw ISCSIError("log in at \(portal)", .badAnswer("it sends us from portal to portal"))
    }

    private func loginAction(_ portal: ISCSIPortal) -> String {
        "log in to \(configuration.target.map { "\($0) at " } ?? "")\(portal)"
    }

    /// Logs in, or returns the address that the target has moved to.
    private func logIn(to portal: ISCSIPortal, _ patience: Patience) throws(ISCSIError) -> String? {
        let connectAction = "connect to \(portal)"
        let connected = milestone()
        guard iscsi_connect_async(context, portal.description, Self.whenReached, pointer(connected)) == 0 else {
            throw ISCSIError(connectAction, .unreachable(libraryError))
        }
        try wait(for: connected, connectAction, patience)
        guard connected.status == 0 else { throw ISCSIError(connectAction, .unreachable(connected.text)) }
        let action = loginAction(portal)
        isLoggingIn = true
        defer { isLoggingIn = false }
        let loggedIn = milestone()
        var isQueued = false
        enter { isQueued = iscsi_login_async(context, Self.whenReached, pointer(loggedIn)) == 0 }
        guard isQueued else { throw ISCSIError(action, .badAnswer(libraryError)) }
        try wait(for: loggedIn, action, patience)
        if loggedIn.status == Int32(SCSI_STATUS_REDIRECT.rawValue), let moved = iscsi_get_target_address(context) {
            return String(cString: moved)
        }
        guard loggedIn.status == 0 else { throw Self.refusal(action, loggedIn.text) }
        try checkNegotiation(action)
        return nil
    }

    /// Checks what the target chose: a login without the proof that was asked for is none.
    ///
    /// The library offers to do without CHAP even when it has credentials, and does not tell what came of it.
    private func checkNegotiation(_ action: String) throws(ISCSIError) {
        if configuration.credentials?.target != nil {
            // The library compares what comes before the challenge as well, with a proof that is still all zeros.
            guard negotiated["CHAP_N"] != nil, let proof = negotiated["CHAP_R"],
                proof.dropFirst(2).contains(where: { $0 != "0" })
            else {
                throw ISCSIError(action, .notAuthenticated("the target did not prove itself by mutual CHAP"))
            }
        }
        if let length = negotiated["MaxRecvDataSegmentLength"], !(512...1 << 24).contains(Int(length) ?? 0) {
            throw ISCSIError(action, .badAnswer("it takes segments of an impossible length"))
        }
    }

    /// Turns the library's text into an error: only there the status stands.
    private static func refusal(_ action: String, _ text: String) -> ISCSIError {
        let digits = text.hasSuffix(")") ? text.dropLast().reversed().prefix { $0.isASCII && $0.isNumber } : []
        if text.contains("Status: "), let status = Int(String(digits.reversed())) {
            return ISCSIError(action, .refused(LoginStatus(rawValue: status)))
        }
        if text.contains("CHAP") { return ISCSIError(action, .notAuthenticated(text)) }
        return ISCSIError(action, .badAnswer(text))
    }

    /// Says good-bye, for at most `timeout` seconds: some targets keep a session that just ends for minutes.
    func logOut(timeout: Double = 1) {
        guard breakage == nil, iscsi_is_logged_in(context) != 0 else { return }
        let done = milestone()
        guard iscsi_logout_async(context, Self.whenReached, pointer(done)) == 0 else { return }
        let deadline = Monotonic.now + timeout
        while done.status == nil, breakage == nil, Monotonic.now < deadline {
            turn(until: deadline, wakeUp: nil)
        }
    }

    // MARK: Discovery

    /// Asks the discovery service which targets there are.
    func sendTargets(_ portal: ISCSIPortal, timeout: Double) throws(ISCSIError) -> [DiscoveredTarget] {
        let action = "ask \(portal) for its targets"
        let done = milestone()
        guard iscsi_discovery_async(context, Self.whenDiscovered, pointer(done)) == 0 else {
            throw ISCSIError(action, .badAnswer(libraryError))
        }
        try wait(for: done, action, Patience(timeout: timeout))
        guard done.status == 0 else { throw ISCSIError(action, .badAnswer(breakage ?? done.text)) }
        return done.targets
    }

    // MARK: Commands

    /// Sends `command`; the answer goes to `memory` where there is some, which stays the library's until the outcome.
    ///
    /// `whenFinished` is called once, on this thread, at the latest when the connection goes.
    func send(
        _ command: SCSICommand, to lun: LogicalUnitNumber, blockSize: Int = 512,
        into memory: UnsafeMutableRawBufferPointer? = nil, whenFinished: @escaping (Outcome) -> Void
    ) {
        guard breakage == nil else { return whenFinished(.broken(breakage ?? "")) }
        guard let task = command.makeTask(blockSize: blockSize) else { return whenFinished(.broken("out of memory")) }
        if let memory {
            let start = memory.baseAddress?.assumingMemoryBound(to: UInt8.self)
            guard scsi_task_add_data_in_buffer(task, Int32(clamping: memory.count), start) == 0 else {
                scsi_free_scsi_task(task)
                return whenFinished(.broken("out of memory"))
            }
        }
        let pending = Command(self, whenFinished)
        pending.task = task
        commands[ObjectIdentifier(pending)] = pending
        // An idle connection has been silent with good reason.
        if commands.count == 1 { lastHeard = Monotonic.now }
        let raw = Unmanaged.passUnretained(pending).toOpaque()
        if iscsi_scsi_command_async(context, lun.wireValue, task, Self.whenCommandEnds, nil, raw) != 0 {
            commands[ObjectIdentifier(pending)] = nil
            scsi_free_scsi_task(task)
            whenFinished(.broken(libraryError))
        }
    }

    /// Asks for a sign of life; the answer only moves `lastHeard`.
    func ping() {
        guard breakage == nil else { return }
        if iscsi_nop_out_async(context, nil, nil, 0, nil) != 0 { breakage = libraryError }
    }

    /// Declares the connection to be of no use; what is under way comes back when the last reference goes.
    ///
    /// Not sooner: the library may be in the middle of calling back.
    func giveUp(_ reason: String) {
        if breakage == nil { breakage = reason }
    }

    private func finish(_ command: Command, status: Int32) {
        guard commands.removeValue(forKey: ObjectIdentifier(command)) != nil, let task = command.task else { return }
        command.task = nil
        let outcome = Outcome(of: task.pointee, status, else: libraryError)
        scsi_free_scsi_task(task)
        if case .broken(let reason) = outcome, breakage == nil { breakage = reason }
        command.whenFinished(outcome)
    }

    // MARK: The loop

    /// Waits for the target, for `wakeUp` or for `deadline`, and does what there is to do.
    func turn(until deadline: Double, wakeUp: WakeUp?) {
        guard breakage == nil else { return }
        let descriptor = iscsi_get_fd(context)
        guard descriptor >= 0 else {
            breakage = libraryError
            return
        }
        var items = [
            pollfd(fd: descriptor, events: Int16(truncatingIfNeeded: iscsi_which_events(context)), revents: 0),
            pollfd(fd: wakeUp?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        // Not for long: who waits also looks whether it is cancelled.
        let seconds = min(max(deadline - Monotonic.now, 0), 0.5)
        let milliseconds = Int32((seconds * 1000).rounded(.up))
        var count: Int32 = 0
        // A target that is slow, or at the end of its answers, sends less than that: then the first byte counts.
        if inFlight > 1 {
            wake(from: Self.worthWaking, descriptor)
            count = poll(&items, 2, min(milliseconds, 1))
        }
        if count == 0 {
            wake(from: 1, descriptor)
            count = poll(&items, 2, milliseconds)
        }
        guard count > 0 else { return }
        if items[1].revents != 0 { wakeUp?.clear() }
        let events = Int32(items[0].revents)
        guard events != 0 else { return }
        if events & Int32(POLLIN) != 0 { lastHeard = Monotonic.now }
        var result: Int32 = 0
        enter { result = iscsi_service(context, events) }
        if result != 0, breakage == nil { breakage = libraryError }
    }

    /// Lets the kernel report content once there are `count` bytes of it.
    ///
    /// socket(7), `SO_RCVLOWAT`; a target that is about as fast as we would else wake us for each of its segments.
    private func wake(from count: Int32, _ descriptor: Int32) {
        guard count != wakesFrom else { return }
        var value = count
        if setsockopt(descriptor, SOL_SOCKET, SO_RCVLOWAT, &value, socklen_t(MemoryLayout<Int32>.size)) == 0 {
            wakesFrom = count
        }
    }

    /// Enters the library, listening to it while it logs in.
    private func enter(_ body: () -> Void) {
        guard isLoggingIn else { return body() }
        negotiated.merge(LibraryLog.listening(to: context, body)) { $1 }
    }

    /// Waits until `milestone` is reached.
    private func wait(for milestone: Milestone, _ action: String, _ patience: Patience) throws(ISCSIError) {
        while milestone.status == nil {
            if let breakage { throw ISCSIError(action, .unreachable(breakage)) }
            guard !patience.isCancelled() else { throw ISCSIError(action, .cancelled) }
            guard Monotonic.now < patience.deadline else {
                throw ISCSIError(action, .timedOut(seconds: Int(patience.timeout)))
            }
            turn(until: patience.deadline, wakeUp: patience.wakeUp)
        }
    }

    private var libraryError: String { Self.plain(iscsi_get_error(context)) }

    /// Returns what the library says went wrong, without the names of its own functions.
    private static func plain(_ message: UnsafePointer<CChar>?) -> String {
        let text = message.map { String(cString: $0) } ?? ""
        if text.isEmpty || text.hasPrefix("iscsi_service_reconnect_if_loggedin") {
            return "the target closed the connection"
        }
        let prefix = "iscsi_service: socket error "
        guard text.hasPrefix(prefix) else { return text }
        return String(text.dropFirst(prefix.count).prefix { $0 != "(" })
    }

    // MARK: Called back

    /// The library may call a second time, when the connection goes: milestones live as long as the connection.
    private func milestone() -> Milestone {
        let milestone = Milestone()
        milestones.append(milestone)
        return milestone
    }

    private func pointer(_ milestone: Milestone) -> UnsafeMutableRawPointer {
        Unmanaged.passUnretained(milestone).toOpaque()
    }

    private static let whenReached: iscsi_command_cb = { context, status, _, raw in
        guard let raw else { return }
        let milestone = Unmanaged<Milestone>.fromOpaque(raw).takeUnretainedValue()
        guard milestone.status == nil else { return }
        milestone.status = status
        milestone.text = plain(iscsi_get_error(context))
    }

    private static let whenDiscovered: iscsi_command_cb = { context, status, data, raw in
        guard let raw else { return }
        let milestone = Unmanaged<Milestone>.fromOpaque(raw).takeUnretainedValue()
        guard milestone.status == nil else { return }
        milestone.status = status
        milestone.text = plain(iscsi_get_error(context))
        guard status == 0 else { return }
        milestone.targets = DiscoveredTarget.list(data?.assumingMemoryBound(to: iscsi_discovery_address.self))
    }

    private static let whenCommandEnds: iscsi_command_cb = { _, status, _, raw in
        guard let raw else { return }
        let command = Unmanaged<Command>.fromOpaque(raw).takeUnretainedValue()
        command.connection.finish(command, status: status)
    }
}
