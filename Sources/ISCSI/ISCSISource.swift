// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Glibc
internal import Synchronization

/// A logical unit of an iSCSI target, read over one or several connections that come back by themselves.
///
/// Reads from several threads are under way at the same time. A connection that breaks is made anew, the unit is
/// recognised, and what was not answered is asked for again; only when nothing is answered for a whole `patience` do
/// reads fail. Nothing is ever written: no command that could is known here.
public final class ISCSISource: BlockSource {
    /// How the unit is read.
    public struct Options: Sendable {
        /// Who logs in, and how long a login may take.
        public var session: ISCSIOptions
        /// Connections, each a session of its own; a target that takes fewer gets fewer.
        public var connections: Int
        /// Seconds without any answer after which reads fail.
        public var patience: Double
        /// Seconds of silence after which the target is asked for a sign of life; after as many more, the connection
        /// counts as broken.
        public var silence = 10.0
        /// Ends waiting when it is set.
        public var cancellation: CancellationFlag?
        /// Hears of connections that were lost and found again.
        public var onEvent: @Sendable (String) -> Void

        /// Makes options.
        public init(
            session: ISCSIOptions, connections: Int = 1, patience: Double = 120,
            cancellation: CancellationFlag? = nil, onEvent: @escaping @Sendable (String) -> Void = { _ in }
        ) {
            self.session = session
            self.connections = connections
            self.patience = patience
            self.cancellation = cancellation
            self.onEvent = onEvent
        }
    }

    /// The most that one command asks for: a read of a capture is one command, and more makes targets no faster.
    private static let mostBytes = 2 << 20

    /// What messages call it: the URL without credentials.
    public let name: String
    /// Length in bytes.
    public let lengthInBytes: Int64
    /// Smallest addressable unit in bytes.
    public let logicalSectorSize: Int
    /// Sector size of the medium in bytes.
    public let physicalSectorSize: Int
    /// What the unit says of itself.
    public let unit: LogicalUnit

    private let capacity: LogicalUnit.Capacity
    private let blocksPerCommand: UInt64
    private let lanes: Lanes
    private let threads: [pthread_t]
    private let knownStatuses = Mutex<[(blocks: Range<UInt64>, isUnmapped: Bool)]>([])
    private let tellsStatuses: Atomic<Bool>

    /// Connects to the unit and asks it what it is.
    ///
    /// Credentials in the URL count only where the options have none.
    /// - Throws: `ISCSIError` when it cannot be reached, or is no disk.
    public init(_ url: ISCSIURL, _ options: Options) throws(ISCSIError) {
        name = url.description
        var session = options.session
        if session.credentials == nil, let user = url.user, let password = url.password {
            session.credentials = try CHAPCredentials(initiator: .init(user: user, password: password))
        }
        let action = "read \(url)"
        let connection = try ISCSIDiscovery.logIn(url.portal, session, target: url.target)
        let inspection = Inspection(
            connection, "\(url.target) at \(url.portal)", .init(timeout: session.timeout))
        guard let unit = try inspection.unit(url.lun) else {
            throw ISCSIError(action, .sense(SCSISense(key: .illegalRequest, code: 0x2500)))
        }
        guard unit.isDisk, let capacity = unit.capacity else {
            throw ISCSIError(
                action,
                .invalid(
                    unit.isDisk
                        ? "it has no medium, or is not ready" : "its device type is \(unit.deviceType), not a disk's"))
        }
        self.unit = unit
        self.capacity = capacity
        lengthInBytes = capacity.lengthInBytes
        logicalSectorSize = capacity.blockSize
        physicalSectorSize = capacity.physicalBlockSize
        let limit = UInt64(unit.maximumTransferBlocks)
        let most = UInt64(max(Self.mostBytes / capacity.blockSize, 1))
        blocksPerCommand = limit == 0 ? most : min(limit, most)
        tellsStatuses = Atomic(capacity.unmappedReadsAsZeros)

        var wakeUps: [WakeUp] = []
        for _ in 0..<min(max(options.connections, 1), 16) { wakeUps.append(try WakeUp()) }
        lanes = Lanes(
            source: name, wakeUps: wakeUps, patience: options.patience, cancellation: options.cancellation)
        let place = LaneThread.Place(
            name: name, lun: url.lun, addresses: try NameResolution.addresses(of: url.portal),
            configuration: .init(
                initiator: session.initiator, credentials: session.credentials, target: url.target),
            unit: unit, capacity: capacity, timeout: session.timeout,
            silence: options.silence, onEvent: options.onEvent)
        threads = try Self.start(lanes, place, wakeUps, connection)
    }

    deinit {
        lanes.close()
        for thread in threads { pthread_join(thread, nil) }
    }

    // MARK: Reading

    /// Fills `buffer` from `offset`; see `BlockSource`.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try checkRange(offset, buffer.count)
        guard buffer.count > 0 else { return }
        let size = Int64(capacity.blockSize)
        let first = offset / size * size
        let end = (offset + Int64(buffer.count) + size - 1) / size * size
        // Content goes straight to the caller where whole blocks are asked for; odd ends take the way round.
        guard first == offset, end == offset + Int64(buffer.count) else {
            return try readOdd(into: buffer, at: offset, from: first, to: end)
        }
        try readBlocks(into: buffer, at: UInt64(first / size))
    }

    private func readOdd(
        into buffer: UnsafeMutableRawBufferPointer, at offset: Int64, from first: Int64, to end: Int64
    ) throws(BlockError) {
        let step = Int64(max(Self.mostBytes, capacity.blockSize))
        let whole = AlignedBuffer(count: Int(min(end - first, step)))
        var position = first
        while position < end {
            let piece = whole.prefix(Int(min(end - position, step)))
            try readBlocks(into: piece, at: UInt64(position / Int64(capacity.blockSize)))
            let from = max(offset, position)
            let to = min(offset + Int64(buffer.count), position + Int64(piece.count))
            let content = piece.part(Int(from - position), Int(to - from))
            buffer.part(Int(from - offset), Int(to - from)).copyMemory(from: UnsafeRawBufferPointer(content))
            position += Int64(piece.count)
        }
    }

    private func readBlocks(into buffer: UnsafeMutableRawBufferPointer, at block: UInt64) throws(BlockError) {
        let batch = Batch()
        var requests: [Request] = []
        var done = 0
        while done < buffer.count {
            let count = min(buffer.count - done, Int(blocksPerCommand) * capacity.blockSize)
            let command = SCSICommand.read16(
                block: block + UInt64(done / capacity.blockSize), count: UInt32(count / capacity.blockSize))
            requests.append(Request(command, into: buffer.part(done, count), batch))
            done += count
        }
        batch.add(requests.count)
        lanes.submit(requests)
        do throws(BlockError) { try batch.wait() } catch {
            var error = error
            // Where the failure is of no particular block, all of the range failed.
            if error.offset == nil {
                error.offset = Int64(clamping: block) * Int64(capacity.blockSize)
                error.length = buffer.count
            }
            throw error
        }
    }

    // MARK: Extents

    /// Returns the extent that begins at `offset`; see `BlockSource`.
    ///
    /// Holes are what the unit calls deallocated, when it promises that such blocks read as zeros.
    public func extent(at offset: Int64) throws(BlockError) -> Extent {
        try checkRange(offset, 1)
        let rest = Extent(offset: offset, length: lengthInBytes - offset, kind: .data)
        guard tellsStatuses.load(ordering: .relaxed) else { return rest }
        let block = UInt64(offset) / UInt64(capacity.blockSize)
        if let known = known(block, offset) { return known }
        let batch = Batch()
        let request = Request(.getLBAStatus(block: block), batch)
        batch.add(1)
        lanes.submit([request])
        do throws(BlockError) { try batch.wait() } catch {
            // A unit that promises and does not tell: everything is data then. A lost connection is no such thing.
            guard lanes.failure == nil, !lanes.isClosed else { throw error }
            tellsStatuses.store(false, ordering: .relaxed)
            return rest
        }
        let ranges = request.answer.withUnsafeBytes {
            SCSIAnswer.statuses($0, from: block, end: capacity.blocks)
        }
        guard !ranges.isEmpty else {
            tellsStatuses.store(false, ordering: .relaxed)
            return rest
        }
        knownStatuses.withLock { $0 = ranges }
        return known(block, offset) ?? rest
    }

    /// Returns the extent at `offset` as far as the last answer tells, neighbours of a kind in one.
    private func known(_ block: UInt64, _ offset: Int64) -> Extent? {
        knownStatuses.withLock { ranges in
            guard let index = ranges.firstIndex(where: { $0.blocks.contains(block) }) else { return nil }
            var end = ranges[index].blocks.upperBound
            for next in ranges[(index + 1)...] {
                guard next.isUnmapped == ranges[index].isUnmapped else { break }
                end = next.blocks.upperBound
            }
            return Extent(
                offset: offset, length: Int64(end) * Int64(capacity.blockSize) - offset,
                kind: ranges[index].isUnmapped ? .hole : .data)
        }
    }

    // MARK: Threads

    /// What a lane's thread begins with.
    private final class Start {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    private static func start(
        _ lanes: Lanes, _ place: LaneThread.Place, _ wakeUps: [WakeUp], _ connection: Connection
    ) throws(ISCSIError) -> [pthread_t] {
        var threads: [pthread_t] = []
        for (number, wakeUp) in wakeUps.enumerated() {
            let lane = LaneThread(number, lanes, place, wakeUp, number == 0 ? connection : nil)
            if number == 0 { lanes.connected(0) }
            let box = Unmanaged.passRetained(Start { lane.run() })
            var thread = pthread_t()
            let result = pthread_create(
                &thread, nil,
                { raw in
                    guard let raw else { return nil }
                    ParallelWork.takeTurns()
                    Unmanaged<Start>.fromOpaque(raw).takeRetainedValue().run()
                    return nil
                }, box.toOpaque())
            guard result == 0 else {
                box.release()
                if number > 0 { break }
                throw ISCSIError("start a thread for \(place.name)", .invalid("error number \(result)"))
            }
            threads.append(thread)
        }
        return threads
    }
}
