// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskImage
internal import Glibc

/// Keeps a disk's journal: which units are on stable storage, in order and without gaps.
///
/// Threads finish units in any order. Whenever enough of them in a row are written, one thread makes the image durable
/// and then says so in the journal, while the others go on; they wait only when they are too far ahead of it, so that
/// what an interruption costs is bounded. pthread_cond_wait(3).
final class CheckpointLog: @unchecked Sendable {
    /// Bytes of content that an interruption may cost.
    static let maximumLoss: Int64 = 64 << 20

    private let journal: FileSink
    private let image: any BlockSink
    // Guarded by `mutex`.
    private var finished: [Int: (unit: DiskJournal.Unit, count: Int)] = [:]
    /// Bytes of content that may be written and not yet durable.
    private let maximumLag: Int64
    private var durableTicket: Int
    private var lag: Int64 = 0
    private var isBusy = false
    private var isShut = false
    private var journalEnd: Int64
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    /// Continues `journal`, of which `journalEnd` bytes are good, behind the unit with ticket `firstTicket` - 1.
    ///
    /// - Parameter inFlight: bytes of units that threads hold at most.
    init(journal: FileSink, journalEnd: Int64, firstTicket: Int, image: any BlockSink, inFlight: Int64) {
        maximumLag = max(Self.maximumLoss - inFlight, 16 << 20)
        self.journal = journal
        self.image = image
        self.journalEnd = journalEnd
        durableTicket = firstTicket
        mutex.initialize(to: pthread_mutex_t())
        condition.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Notes that a unit of `count` bytes is written, and makes a checkpoint when one is due.
    ///
    /// - Throws: `BlockError` when image or journal cannot be made durable.
    func finish(_ unit: DiskJournal.Unit, ticket: Int, count: Int) throws(BlockError) {
        pthread_mutex_lock(mutex)
        finished[ticket] = (unit, count)
        lag += Int64(count)
        while !isShut {
            if isBusy {
                guard lag >= maximumLag else { break }
                pthread_cond_wait(condition, mutex)
            } else if lag >= maximumLag / 2, finished[durableTicket] != nil {
                isBusy = true
                let units = takeRow()
                pthread_mutex_unlock(mutex)
                let result = Result { () throws(BlockError) in try makeDurable(units, from: durableTicket) }
                pthread_mutex_lock(mutex)
                isBusy = false
                if case .failure(let error) = result {
                    isShut = true
                    pthread_cond_broadcast(condition)
                    pthread_mutex_unlock(mutex)
                    throw error
                }
                durableTicket += units.count
                pthread_cond_broadcast(condition)
            } else {
                // The first of the row is still on its way: whoever holds it comes by here.
                guard lag >= maximumLag, finished[durableTicket] == nil, ticket != durableTicket else { break }
                pthread_cond_wait(condition, mutex)
            }
        }
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Lets everybody go: the work has failed or was cancelled.
    func shut() {
        pthread_mutex_lock(mutex)
        isShut = true
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Removes and returns the finished units from the first that is not durable, as far as there is no gap.
    private func takeRow() -> [DiskJournal.Unit] {
        var units: [DiskJournal.Unit] = []
        while let next = finished.removeValue(forKey: durableTicket + units.count) { units.append(next.unit) }
        lag = finished.values.reduce(0) { $0 + Int64($1.count) }
        return units
    }

    private func makeDurable(_ units: [DiskJournal.Unit], from first: Int) throws(BlockError) {
        try image.synchronize()
        let bytes = DiskJournal.encodedCheckpoint(first: first, units: units)
        try journal.write(bytes, at: journalEnd)
        try journal.synchronize()
        journalEnd += Int64(bytes.count)
    }
}
