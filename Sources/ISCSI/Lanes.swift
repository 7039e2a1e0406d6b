// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Synchronization

/// What the connections of one source share: who carries out what, and since when nothing moves.
final class Lanes: Sendable {
    /// One connection's part.
    private struct Lane {
        var waiting: [Request] = []
        /// Requests waiting and under way.
        var load = 0
        var isConnected = false
        /// It has left for good.
        var isGone = false

        /// Queues a request by its age: one that came back is not to wait behind all others again.
        mutating func insert(_ request: Request) {
            let place = waiting.lastIndex { $0.since <= request.since }.map { $0 + 1 } ?? 0
            waiting.insert(request, at: place)
            load += 1
        }
    }

    private struct State {
        var lanes: [Lane]
        var isClosed = false
        /// Why nothing is tried any more until a connection stands again.
        var failure: BlockError.Cause?
        /// When a request was last answered, or the first one came after a pause.
        var lastProgress = Monotonic.now
        /// Why the last connection broke or did not come about.
        var lastReason = "no connection"
    }

    private let state: Mutex<State>
    private let wakeUps: [WakeUp]
    private let source: String
    private let cancellation: CancellationFlag?
    /// Seconds without an answer after which everything fails.
    let patience: Double

    init(source: String, wakeUps: [WakeUp], patience: Double, cancellation: CancellationFlag?) {
        self.source = source
        self.wakeUps = wakeUps
        self.patience = patience
        self.cancellation = cancellation
        state = Mutex(State(lanes: Array(repeating: Lane(), count: wakeUps.count)))
    }

    /// Whether the source has gone, or nobody wants its content any more.
    var isClosed: Bool { cancellation?.isCancelled == true || state.withLock { $0.isClosed } }

    /// Hands `requests` to the lanes with the least to do; on failure they are counted out at once.
    func submit(_ requests: [Request]) {
        var touched = Set<Int>()
        let refusal = state.withLock { state -> BlockError.Cause? in
            if let failure = state.failure { return failure }
            if state.isClosed { return .invalid("the source is closed") }
            if state.lanes.allSatisfy({ $0.load == 0 }) { state.lastProgress = Monotonic.now }
            for request in requests { touched.insert(Self.place(request, in: &state)) }
            return nil
        }
        if let refusal {
            for request in requests { finish(request, refusal) }
        }
        for lane in touched { wakeUps[lane].signal() }
    }

    /// Puts a request into the connected lane with the least to do, else into one that tries to connect.
    private static func place(_ request: Request, in state: inout State) -> Int {
        let present = state.lanes.indices.filter { !state.lanes[$0].isGone }
        let connected = present.filter { state.lanes[$0].isConnected }
        let lane = (connected.isEmpty ? present : connected).min { state.lanes[$0].load < state.lanes[$1].load } ?? 0
        state.lanes[lane].insert(request)
        return lane
    }

    /// Takes requests that `lane` may send now, at most `count`, and tells when the next one may be sent.
    func take(_ lane: Int, count: Int) -> (requests: [Request], next: Double) {
        let now = Monotonic.now
        return state.withLock { state in
            var taken: [Request] = []
            var kept: [Request] = []
            var next = Double.infinity
            for request in state.lanes[lane].waiting {
                if taken.count < count, request.notBefore <= now {
                    taken.append(request)
                } else {
                    if request.notBefore > now { next = min(next, request.notBefore) }
                    kept.append(request)
                }
            }
            state.lanes[lane].waiting = kept
            return (taken, next)
        }
    }

    /// Puts a request back: to the same lane while it is connected, else to whichever is.
    func giveBack(_ request: Request, _ lane: Int) {
        let other = state.withLock { state -> Int in
            state.lanes[lane].load -= 1
            if state.lanes[lane].isConnected {
                state.lanes[lane].insert(request)
                return lane
            }
            return Self.place(request, in: &state)
        }
        if other != lane { wakeUps[other].signal() }
    }

    /// Counts a request out that the unit answered, well or not.
    func answered(_ request: Request, _ lane: Int, _ error: BlockError?) {
        state.withLock { state in
            state.lanes[lane].load -= 1
            state.lastProgress = Monotonic.now
        }
        request.batch.finish(error)
    }

    /// Counts a request out that nobody answered.
    func abandoned(_ request: Request, _ lane: Int, _ cause: BlockError.Cause) {
        state.withLock { $0.lanes[lane].load -= 1 }
        finish(request, cause)
    }

    private func finish(_ request: Request, _ cause: BlockError.Cause) {
        request.batch.finish(BlockError(.read, source, cause))
    }

    /// Notes that `lane` has a connection now; whatever failed before is tried again.
    func connected(_ lane: Int) {
        state.withLock { state in
            state.lanes[lane].isConnected = true
            state.failure = nil
        }
    }

    /// Notes that `lane` has no connection any more, and hands what waits there to others that have.
    func disconnected(_ lane: Int, _ reason: String) {
        var touched = Set<Int>()
        state.withLock { state in
            state.lanes[lane].isConnected = false
            state.lastReason = reason
            guard state.lanes.contains(where: { $0.isConnected }) else { return }
            let waiting = state.lanes[lane].waiting
            state.lanes[lane].waiting = []
            state.lanes[lane].load -= waiting.count
            for request in waiting { touched.insert(Self.place(request, in: &state)) }
        }
        for lane in touched { wakeUps[lane].signal() }
    }

    /// Lets `lane` go for good, unless it is the last one; true when it may.
    func leave(_ lane: Int) -> Bool {
        let mayGo = state.withLock { state in
            guard state.lanes.indices.contains(where: { $0 != lane && state.lanes[$0].isConnected }) else {
                return false
            }
            state.lanes[lane].isGone = true
            return true
        }
        if mayGo { disconnected(lane, "the target takes no more connections") }
        return mayGo
    }

    /// Tells whether nothing was answered for too long though somebody waits, with the reason.
    func isStuck() -> BlockError.Cause? {
        state.withLock { state in
            guard state.lanes.contains(where: { $0.load > 0 }), Monotonic.now - state.lastProgress > patience else {
                return nil
            }
            return .invalid("no answer for \(Int(patience)) s: \(state.lastReason)")
        }
    }

    /// Fails what waits everywhere, and what comes until a connection stands again.
    func fail(_ cause: BlockError.Cause) {
        let waiting = state.withLock { state -> [Request] in
            state.failure = cause
            return Self.drain(&state)
        }
        for request in waiting { finish(request, cause) }
        for wakeUp in wakeUps { wakeUp.signal() }
    }

    private static func drain(_ state: inout State) -> [Request] {
        var waiting: [Request] = []
        for index in state.lanes.indices {
            waiting += state.lanes[index].waiting
            state.lanes[index].load -= state.lanes[index].waiting.count
            state.lanes[index].waiting = []
        }
        return waiting
    }

    /// Why everything fails at present.
    var failure: BlockError.Cause? { state.withLock { $0.failure } }

    /// Ends all lanes; what waits fails.
    func close() {
        let waiting = state.withLock { state -> [Request] in
            state.isClosed = true
            return Self.drain(&state)
        }
        for request in waiting { finish(request, .invalid("the source is closed")) }
        for wakeUp in wakeUps { wakeUp.signal() }
    }
}
