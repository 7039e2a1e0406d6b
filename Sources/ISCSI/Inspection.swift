// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO

/// Questions to logical units, one after the other, over a connection that does nothing else meanwhile.
struct Inspection {
    private let connection: Connection
    private let place: String
    private let patience: Connection.Patience

    /// Puts questions about `place`, as messages call it, as long as `patience` lasts.
    init(_ connection: Connection, _ place: String, _ patience: Connection.Patience) {
        self.connection = connection
        self.place = place
        self.patience = patience
    }

    /// Returns the numbers of the units there are.
    func numbers() throws(ISCSIError) -> [LogicalUnitNumber] {
        // Every target answers this at number 0, whether there is such a unit or not.
        guard let zero = LogicalUnitNumber(0) else { return [] }
        return try ask(.reportLUNs, zero).withUnsafeBytes { SCSIAnswer.logicalUnits($0) }
    }

    /// Returns what the unit says of itself, nil when there is none of this number.
    func unit(_ lun: LogicalUnitNumber) throws(ISCSIError) -> LogicalUnit? {
        let standard = try ask(.inquiry(page: nil), lun)
        // Qualifiers other than 0 say that nothing is connected.
        guard let first = standard.first, first >> 5 == 0 else { return nil }
        let product = standard.withUnsafeBytes { SCSIAnswer.product($0) }
        var unit = LogicalUnit(
            lun: lun, deviceType: first & 0x1f, vendor: product.vendor, product: product.product,
            revision: product.revision, identity: try identity(lun), capacity: nil, maximumTransferBlocks: 0)
        guard unit.isDisk else { return unit }
        unit.capacity = try capacity(lun)
        unit.maximumTransferBlocks =
            try optional(.inquiry(page: 0xb0), lun)?.withUnsafeBytes { SCSIAnswer.maximumTransferBlocks($0) } ?? 0
        return unit
    }

    private func identity(_ lun: LogicalUnitNumber) throws(ISCSIError) -> LogicalUnit.Identity {
        let serial = try optional(.inquiry(page: 0x80), lun)?.withUnsafeBytes { SCSIAnswer.serial($0) }
        let names = try optional(.inquiry(page: 0x83), lun)?.withUnsafeBytes { SCSIAnswer.names($0) } ?? []
        return LogicalUnit.Identity(serial: serial, wwids: names)
    }

    private func capacity(_ lun: LogicalUnitNumber) throws(ISCSIError) -> LogicalUnit.Capacity? {
        let action = "ask for the size of LUN \(lun) of \(place)"
        do throws(ISCSIError) {
            let answer: [UInt8]
            if let long = try optional(.readCapacity16, lun) {
                answer = long
            } else {
                answer = try ask(.readCapacity10, lun)
            }
            return try Self.capacity(answer, action)
        } catch {
            // A drive without a medium, or one that does not start, is there and has no size.
            if case .sense(let sense) = error.cause, sense.key == .notReady { return nil }
            throw error
        }
    }

    private static func capacity(_ answer: [UInt8], _ action: String) throws(ISCSIError) -> LogicalUnit.Capacity {
        let result = answer.withUnsafeBytes { bytes in
            Result { () throws(ISCSIError) in try LogicalUnit.Capacity(bytes, action: action) }
        }
        return try result.get()
    }

    /// Returns the answer, nil when the unit does not know the command or the page.
    private func optional(_ command: SCSICommand, _ lun: LogicalUnitNumber) throws(ISCSIError) -> [UInt8]? {
        do throws(ISCSIError) { return try ask(command, lun) } catch {
            if case .sense(let sense) = error.cause, sense.key == .illegalRequest { return nil }
            throw error
        }
    }

    /// Sends a command and returns its answer, asking again when the unit only tells of news or is not ready yet.
    private func ask(_ command: SCSICommand, _ lun: LogicalUnitNumber) throws(ISCSIError) -> [UInt8] {
        let action = "ask LUN \(lun) of \(place): \(command.name)"
        while true {
            var outcome: Connection.Outcome?
            connection.send(command, to: lun) { outcome = $0 }
            while outcome == nil {
                guard !patience.isCancelled() else { throw ISCSIError(action, .cancelled) }
                guard Monotonic.now < patience.deadline else {
                    connection.giveUp("no answer in time")
                    throw ISCSIError(action, .timedOut(seconds: Int(patience.timeout)))
                }
                if let breakage = connection.breakage { throw ISCSIError(action, .unreachable(breakage)) }
                connection.turn(until: patience.deadline, wakeUp: patience.wakeUp)
            }
            switch outcome {
            case .good(let answer)?: return answer
            case .sense(let sense)?:
                let isPassing =
                    sense.key == .unitAttention || sense.key == .abortedCommand
                    || (sense.key == .notReady && sense.code >> 8 == 0x04)
                guard isPassing, Monotonic.now < patience.deadline else { throw ISCSIError(action, .sense(sense)) }
                if sense.key == .notReady { pause() }
            case .busy?:
                guard Monotonic.now < patience.deadline else {
                    throw ISCSIError(action, .badAnswer("the unit stays busy"))
                }
                pause()
            case .reserved?: throw ISCSIError(action, .badAnswer("another initiator has reserved the unit"))
            case .wrongLength?: throw ISCSIError(action, .badAnswer("the answer has the wrong length"))
            case .broken(let reason)?: throw ISCSIError(action, .unreachable(reason))
            case nil: continue
            }
        }
    }

    /// Lets the connection live for a moment.
    private func pause() { connection.turn(until: Monotonic.now + 0.25, wakeUp: patience.wakeUp) }
}
