// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO
internal import Synchronization

/// An image on the target whose storage a new image may share, where the target can do that: content that is the same
/// then takes no room and does not travel again.
public final class SharedImage: Sendable {
    private let file: FileSource
    private let image: any ImageReader
    private let isUseless = Atomic<Bool>(false)
    private let shared = Atomic<Int64>(0)

    /// Takes `image`, which is stored in `file`.
    public init(_ image: any ImageReader, in file: FileSource) {
        self.image = image
        self.file = file
    }

    /// Bytes that are shared so far.
    public var sharedBytes: Int64 { shared.load(ordering: .relaxed) }

    /// Makes `content`, guest bytes from `offset`, stand at byte `place` of `sink` without writing them.
    ///
    /// What is there then is read back and compared: storage that has gone bad is not shared.
    /// - Returns: whether it stands there; otherwise it is to be written.
    func share(
        _ content: UnsafeRawBufferPointer, at offset: Int64, to sink: any BlockSink, at place: Int64,
        memory: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard !isUseless.load(ordering: .relaxed), let sink = sink as? FileSink, memory.count >= content.count,
            let stored = try? image.storedOffset(of: offset, count: content.count)
        else { return false }
        do throws(BlockError) {
            try sink.share(file, from: stored, count: content.count, at: place)
            let found = memory.part(0, content.count)
            try sink.read(into: found, at: place)
            guard content.isSame(as: UnsafeRawBufferPointer(found)) else { return false }
        } catch {
            // Odd places are refused one by one; all else means that this target shares nothing.
            if !error.isInvalidArgument { isUseless.store(true, ordering: .relaxed) }
            return false
        }
        shared.wrappingAdd(Int64(content.count), ordering: .relaxed)
        return true
    }
}
