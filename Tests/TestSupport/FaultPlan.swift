// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Synchronization
public import SystemPackage

/// Faults that strike at known operations, places and counts: nothing here is left to chance.
public final class FaultPlan: Sendable {
    /// The operations that can fail.
    public enum Operation: Sendable, Hashable {
        case read, write, setLength, synchronize, close
    }

    /// What happens.
    public enum Effect: Sendable, Hashable {
        /// The operation fails with this error.
        case fail(Errno)
        /// A read finds the source's end too early.
        case short
        /// One bit of the range's first byte is inverted, and nobody is told.
        case flipBit
    }

    /// A fault: the first `times` operations that touch the range, after `skipping` others, are struck.
    public struct Fault: Sendable {
        var operation: Operation
        var range: Range<Int64>
        var skipping: Int
        var times: Int
        var effect: Effect

        /// Makes a fault that strikes `times` times, by default always.
        public init(
            _ operation: Operation, in range: Range<Int64> = 0..<Int64.max, skipping: Int = 0, times: Int = .max,
            _ effect: Effect
        ) {
            self.operation = operation
            self.range = range
            self.skipping = skipping
            self.times = times
            self.effect = effect
        }
    }

    private let faults: Mutex<[Fault]>

    /// Makes a plan.
    public init(_ faults: Fault...) { self.faults = Mutex(faults) }

    /// Makes a plan.
    public init(_ faults: [Fault]) { self.faults = Mutex(faults) }

    /// Returns the effect on `operation` at `offset`, and counts it.
    func strike(_ operation: Operation, _ offset: Int64 = 0, _ count: Int = 1) -> (effect: Effect, at: Int64)? {
        faults.withLock { faults in
            for index in faults.indices {
                let fault = faults[index]
                guard fault.operation == operation, fault.range.lowerBound < offset + Int64(count),
                    offset < fault.range.upperBound
                else { continue }
                if fault.skipping > 0 {
                    faults[index].skipping -= 1
                } else if fault.times > 0 {
                    faults[index].times -= 1
                    return (fault.effect, max(fault.range.lowerBound, offset))
                }
            }
            return nil
        }
    }
}

/// A source with faults.
public struct FaultySource: SourceWrapper {
    /// The source that is read.
    public let base: any BlockSource
    private let plan: FaultPlan

    /// Puts `plan` before `base`.
    public init(_ base: any BlockSource, _ plan: FaultPlan) {
        self.base = base
        self.plan = plan
    }

    /// Returns the extent that begins at `offset`; see `BlockSource`.
    public func extent(at offset: Int64) throws(BlockError) -> Extent { try base.extent(at: offset) }

    /// Fills `buffer` from `offset`; see `BlockSource`.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        switch plan.strike(.read, offset, buffer.count) {
        case (.fail(let errno), let place)?:
            throw BlockError(.read, name, offset: place, length: buffer.count, .system(errno))
        case (.short, let place)?:
            throw BlockError(.read, name, offset: place, length: buffer.count, .unexpectedEnd)
        case (.flipBit, let place)?:
            try base.read(into: buffer, at: offset)
            buffer[Int(place - offset)] ^= 1
        case nil: try base.read(into: buffer, at: offset)
        }
    }
}

/// A sink with faults.
public struct FaultySink: BlockSink {
    private let base: any BlockSink
    private let plan: FaultPlan

    /// Puts `plan` before `base`.
    public init(_ base: any BlockSink, _ plan: FaultPlan) {
        self.base = base
        self.plan = plan
    }

    /// What messages call it: the path.
    public var name: String { base.name }

    /// Writes all of `buffer` at `offset`.
    public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
        switch plan.strike(.write, offset, buffer.count) {
        case (.fail(let errno), let place)?:
            throw BlockError(.write, name, offset: place, length: buffer.count, .system(errno))
        case (.flipBit, let place)?:
            var bytes = Array(buffer)
            bytes[Int(place - offset)] ^= 1
            try base.write(bytes, at: offset)
        case (.short, _)?, nil: try base.write(buffer, at: offset)
        }
    }

    /// Fills `buffer` with what was written at `offset`.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
        try base.read(into: buffer, at: offset)
    }

    /// Sets the file's length in bytes.
    public func setLength(_ lengthInBytes: Int64) throws(BlockError) {
        try fail(.setLength, .resize)
        try base.setLength(lengthInBytes)
    }

    /// Returns when everything written is on stable storage.
    public func synchronize() throws(BlockError) {
        try fail(.synchronize, .synchronize)
        try base.synchronize()
    }

    /// Closes the file and reports what the close found out.
    public func close() throws(BlockError) {
        try fail(.close, .close)
        try base.close()
    }

    private func fail(_ operation: FaultPlan.Operation, _ name: BlockError.Operation) throws(BlockError) {
        if case (.fail(let errno), _)? = plan.strike(operation) {
            throw BlockError(name, self.name, .system(errno))
        }
    }
}
