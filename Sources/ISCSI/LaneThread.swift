// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import SystemPackage

/// Drives one connection of a source: sends, receives, and connects again when it breaks.
///
/// Used by its own thread alone.
final class LaneThread {
    /// What a lane needs to know of its source.
    struct Place: Sendable {
        var name: String
        var lun: LogicalUnitNumber
        var addresses: [ISCSIPortal]
        var configuration: Connection.Configuration
        var unit: LogicalUnit
        var capacity: LogicalUnit.Capacity
        var timeout: Double
        var silence: Double
        var onEvent: @Sendable (String) -> Void
    }

    /// Most commands that one connection has under way.
    private static let depth = 64
    /// Attempts that a unit may refuse with something that passes, such as a reset.
    private static let mostRefusals = 100
    /// Seconds that a unit may say that it is not ready yet.
    private static let notReadyLimit = 60.0
    /// Connections that may break under one request: more, and the request itself is what breaks them.
    private static let mostLosses = 8
    private static let backOff = [0.0, 0.1, 0.3, 1, 2, 4, 5]

    private let number: Int
    private let lanes: Lanes
    private let place: Place
    private let wakeUp: WakeUp
    private var connection: Connection?
    private var pinged = false
    private var wasConnected = false
    private var hasLeft = false
    /// Whether this connection has answered any request.
    private var hasAnswered = false

    /// Makes the lane of `number`; `connection` is one that stands already.
    init(_ number: Int, _ lanes: Lanes, _ place: Place, _ wakeUp: WakeUp, _ connection: Connection?) {
        self.number = number
        self.lanes = lanes
        self.place = place
        self.wakeUp = wakeUp
        self.connection = connection
    }

    /// Runs until the source is closed.
    func run() {
        if connection != nil {
            wasConnected = true
            lanes.connected(number)
        }
        while !lanes.isClosed {
            if connection == nil, !connect() { break }
            serve()
        }
        if let connection {
            if connection.inFlight == 0 { connection.logOut() }
            drop("the source is closed")
        }
        if !hasLeft { lanes.close() }
    }

    // MARK: Connected

    /// Sends and receives for a moment; drops the connection when it is of no use any more.
    private func serve() {
        guard let connection else { return }
        let (requests, next) = lanes.take(number, count: Self.depth - connection.inFlight)
        for request in requests { send(request, connection) }
        if !requests.isEmpty { pinged = false }
        connection.turn(until: min(next, Monotonic.now + 0.5), wakeUp: wakeUp)
        if let breakage = connection.breakage { return drop(breakage) }
        checkSilence(connection)
    }

    private func checkSilence(_ connection: Connection) {
        guard connection.inFlight > 0 else { return }
        let silent = Monotonic.now - connection.lastHeard
        if silent < place.silence {
            pinged = false
        } else if silent > 2 * place.silence {
            return drop("the target has said nothing for \(Int(2 * place.silence)) s")
        } else if !pinged {
            pinged = true
            connection.ping()
        }
        // It may well answer pings while it does not answer reads.
        guard let cause = lanes.isStuck() else { return }
        lanes.fail(cause)
        drop("it answers no request")
    }

    private func send(_ request: Request, _ connection: Connection) {
        request.placeMarks()
        connection.send(
            request.command, to: place.lun, blockSize: place.capacity.blockSize, into: request.memory
        ) { [self] outcome in
            finish(request, outcome)
        }
    }

    private func finish(_ request: Request, _ outcome: Connection.Outcome) {
        if case .broken = outcome {} else { hasAnswered = true }
        switch outcome {
        case .good(let answer):
            guard !request.hasMarks() else { return retry(request, "the target sent less than it said") }
            request.answer = answer
            lanes.answered(request, number, nil)
        case .wrongLength: retry(request, "the target sent less than was asked for")
        case .busy: retry(request, "the unit stays busy", after: 0.1)
        case .reserved:
            lanes.answered(request, number, error(request, .invalid("another initiator has reserved the LUN")))
        case .sense(let sense): finish(request, sense)
        case .broken(let reason):
            // One that breaks connections does so before anything else is answered, sooner or later.
            if !hasAnswered { request.losses += 1 }
            if let failure = lanes.failure {
                lanes.abandoned(request, number, failure)
            } else if request.losses > Self.mostLosses {
                let cause = BlockError.Cause.invalid("the connection broke each time: \(reason)")
                lanes.answered(request, number, error(request, cause))
            } else {
                lanes.giveBack(request, number)
            }
        }
    }

    private func finish(_ request: Request, _ sense: SCSISense) {
        switch sense.key {
        case .unitAttention:
            // What is known may be wrong: a new connection asks for all of it before anything is read again.
            if sense.announcesChange { connection?.giveUp("the target announces a change of the LUN") }
            retry(request, sense.description)
        case .notReady where sense.code >> 8 == 0x04 && Monotonic.now - request.since < Self.notReadyLimit:
            retry(request, sense.description, after: 0.5)
        case .abortedCommand, .recoveredError, .noSense: retry(request, sense.description)
        case .mediumError, .hardwareError:
            lanes.answered(request, number, error(request, .system(.ioError), from: sense.block))
        default:
            lanes.answered(request, number, error(request, .invalid(sense.description), from: sense.block))
        }
    }

    /// Tries again what should pass by itself, but not for ever.
    private func retry(_ request: Request, _ reason: String, after seconds: Double = 0) {
        request.refusals += 1
        // Without a pause between them, repetitions are over before anything can have changed.
        request.notBefore = Monotonic.now + max(seconds, request.refusals > 3 ? 0.1 : 0)
        guard request.refusals <= (seconds > 0 ? Self.mostRefusals * 2 : 10) else {
            return lanes.answered(request, number, error(request, .invalid(reason)))
        }
        lanes.giveBack(request, number)
    }

    /// Returns an error that names the range of `request`, from the block that failed on where the unit named one.
    private func error(_ request: Request, _ cause: BlockError.Cause, from failed: UInt64? = nil) -> BlockError {
        guard case .read16(let block, let count) = request.command else { return BlockError(.read, place.name, cause) }
        var first = block
        if let failed, failed >= block, failed < block + UInt64(count) { first = failed }
        let size = UInt64(place.capacity.blockSize)
        return BlockError(
            .read, place.name, offset: Int64(clamping: first * size),
            length: Int(clamping: (block + UInt64(count) - first) * size), cause)
    }

    /// Ends the connection; what it had not answered goes to others or waits for the next one.
    private func drop(_ reason: String) {
        guard let connection else { return }
        lanes.disconnected(number, reason)
        connection.giveUp(reason)
        // The library touches no memory of requests from here on.
        self.connection = nil
        pinged = false
    }

    // MARK: Not connected

    /// Connects again, however often it takes; false when the lane is to end.
    private func connect() -> Bool {
        var attempt = 0
        let since = Monotonic.now
        if wasConnected { place.onEvent("connection \(number + 1) to \(place.name) was lost: reconnecting") }
        while !lanes.isClosed {
            let pause = Self.backOff[min(attempt, Self.backOff.count - 1)]
            if pause > 0 { rest(pause) }
            if lanes.isClosed { return false }
            if let cause = lanes.isStuck() { lanes.fail(cause) }
            do throws(ISCSIError) {
                connection = try connectOnce(place.addresses[attempt % place.addresses.count])
                lanes.connected(number)
                hasAnswered = false
                if wasConnected {
                    let seconds = Int((Monotonic.now - since).rounded())
                    place.onEvent("connection \(number + 1) to \(place.name) stands again after \(seconds) s")
                }
                wasConnected = true
                return true
            } catch {
                if case .cancelled = error.cause { continue }
                lanes.disconnected(number, error.description)
                // A target may take fewer connections than we would like.
                if !wasConnected, attempt >= 2, lanes.leave(number) {
                    hasLeft = true
                    place.onEvent("\(place.name) is read over fewer connections: \(error)")
                    return false
                }
            }
            attempt += 1
        }
        return false
    }

    /// Waits, and looks whether those who wait for content have waited long enough.
    private func rest(_ seconds: Double) {
        let end = Monotonic.now + seconds
        while !lanes.isClosed, Monotonic.now < end {
            wakeUp.wait(seconds: min(end - Monotonic.now, 0.5))
            if let cause = lanes.isStuck() { lanes.fail(cause) }
        }
    }

    /// Connects once, and makes sure that the unit is still the one that was opened.
    private func connectOnce(_ address: ISCSIPortal) throws(ISCSIError) -> Connection {
        let lanes = lanes
        // Nobody waits longer than the patience for all attempts together.
        let patience = Connection.Patience(timeout: min(place.timeout, max(lanes.patience, 1)), wakeUp: wakeUp) {
            if lanes.isClosed { return true }
            if let cause = lanes.isStuck() { lanes.fail(cause) }
            return false
        }
        let connection = try Connection.logIn(to: address, place.configuration, patience)
        let unit = try Inspection(connection, place.name, patience).unit(place.lun)
        // Not at once the end of it: a target that restarts may not have put all its units in place yet.
        guard let unit, unit.identity == place.unit.identity, unit.capacity?.blocks == place.capacity.blocks,
            unit.capacity?.blockSize == place.capacity.blockSize
        else {
            throw ISCSIError(
                "go on reading \(place.name)",
                .badAnswer(unit == nil ? "the LUN is gone" : "there is another LUN now, or one of another size"))
        }
        return connection
    }
}
