// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Logging
internal import ServiceLifecycle

/// Clones that wait for their verification: one is read at a time, since they share the disks.
actor VerificationQueue: Service {
    /// What became of a clone that somebody asked about.
    enum State: Sendable, Hashable {
        case waiting
        case running
        /// There is no verdict; why.
        case failed(String)
    }

    /// Most clones that wait.
    static let capacity = 1000

    private let store: CloneStore
    private let records: ServiceState
    private let receiver: CloneReceiver
    private let logger: Logger
    private let cancellation = CancellationFlag()
    private let requests: AsyncStream<String>
    private let enqueue: AsyncStream<String>.Continuation
    private var states: [String: State] = [:]
    private var failures: [String] = []
    /// Who waits for the end of a clone's verification, by clone and by number.
    private var waiting: [String: [Int: AsyncStream<Void>.Continuation]] = [:]
    private var nextWaiter = 0

    init(_ store: CloneStore, _ records: ServiceState, _ receiver: CloneReceiver, _ logger: Logger) {
        self.store = store
        self.records = records
        self.receiver = receiver
        self.logger = logger
        (requests, enqueue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.capacity))
    }

    /// What becomes of the clone `id`; nil where nobody asked since the last verdict.
    func state(of id: String) -> State? { states[id] }

    /// Puts the clone `id` last in the line, unless it is in it; returns false when the line is full.
    ///
    /// - Throws: `ReceiverError` when an earlier receipt cannot be put aside.
    func add(_ id: String) throws(ReceiverError) -> Bool {
        switch states[id] {
        case .waiting, .running: return true
        case .failed, nil: break
        }
        try records.forget(id)
        guard case .enqueued = enqueue.yield(id) else { return false }
        states[id] = .waiting
        return true
    }

    /// Returns as soon as the clone `id` neither waits nor is being verified, or after `limit`.
    func wait(for id: String, atMost limit: Duration) async {
        guard states[id] == .waiting || states[id] == .running else { return }
        let (end, continuation) = AsyncStream<Void>.makeStream()
        let number = nextWaiter
        nextWaiter += 1
        waiting[id, default: [:]][number] = continuation
        await withTaskGroup { group in
            group.addTask { for await _ in end {} }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
        waiting[id]?[number] = nil
    }

    private func endWaiting(for id: String) {
        for continuation in waiting.removeValue(forKey: id)?.values ?? [:].values { continuation.finish() }
    }

    /// Verifies what comes until the service ends.
    func run() async throws {
        let cancellation = cancellation
        await withGracefulShutdownHandler {
            for await id in requests.cancelOnGracefulShutdown() { await verify(id) }
        } onGracefulShutdown: {
            cancellation.cancel()
        }
    }

    private func verify(_ id: String) async {
        states[id] = .running
        defer { endWaiting(for: id) }
        do throws(ReceiverError) {
            guard let path = store.path(of: id) else {
                throw .setup("the clone \(id) is gone", hint: nil)
            }
            logger.info("verifying", metadata: ["clone": "\(id)"])
            let reception = try await receiver.receive(path, followingLink: false, cancellation: cancellation)
            try records.keep(reception.receipt, of: id)
            states[id] = nil
            logger.notice(
                "verified", metadata: ["clone": "\(id)", "verdict": "\(reception.receipt.verdict.rawValue)"])
            if let error = reception.receiptError {
                logger.warning("the receipt stays here", metadata: ["clone": "\(id)", "reason": "\(error)"])
            }
        } catch {
            note(id, failure: error.description)
            logger.error("no verdict", metadata: ["clone": "\(id)", "reason": "\(error)"])
        }
    }

    /// Remembers a failure, and forgets the oldest of many.
    private func note(_ id: String, failure: String) {
        states[id] = .failed(failure)
        failures.append(id)
        guard failures.count > Self.capacity else { return }
        let oldest = failures.removeFirst()
        if case .failed = states[oldest], !failures.contains(oldest) { states[oldest] = nil }
    }
}
