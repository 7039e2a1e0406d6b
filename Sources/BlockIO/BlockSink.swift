// SPDX-License-Identifier: GPL-3.0-or-later

/// A file that an image is written to, at any offset.
///
/// All members may be called from several threads at once, `close` once and last.
public protocol BlockSink: Sendable {
    /// What messages call it: a path.
    var name: String { get }
    /// Writes all of `buffer` at `offset`.
    func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError)
    /// Fills `buffer` with what was written at `offset`; what nobody wrote reads as zeros.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError)
    /// Sets the file's length; what lies behind the old end reads as zeros.
    func setLength(_ lengthInBytes: Int64) throws(BlockError)
    /// Returns when everything written is on stable storage.
    func synchronize() throws(BlockError)
    /// Closes the file and reports what the close found out.
    func close() throws(BlockError)
}

extension BlockSink {
    /// Writes the memory of `elements` at `offset`; for metadata, not for bulk.
    public func write<Element: BitwiseCopyable>(_ elements: [Element], at offset: Int64) throws(BlockError) {
        let result = elements.withUnsafeBytes { bytes in
            do throws(BlockError) {
                try write(bytes, at: offset)
                return Result<Void, BlockError>.success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }
}
