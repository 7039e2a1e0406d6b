// SPDX-License-Identifier: GPL-3.0-or-later

extension UnsafeRawBufferPointer {
    /// Returns the big-endian integer at byte `offset`, or nil when it does not lie within the buffer.
    @inlinable
    public func bigEndian<Integer: FixedWidthInteger>(at offset: Int, as: Integer.Type = Integer.self) -> Integer? {
        guard offset >= 0, count >= MemoryLayout<Integer>.size, offset <= count - MemoryLayout<Integer>.size else {
            return nil
        }
        return Integer(bigEndian: loadUnaligned(fromByteOffset: offset, as: Integer.self))
    }

    /// Returns the little-endian integer at byte `offset`, or nil when it does not lie within the buffer.
    @inlinable
    public func littleEndian<Integer: FixedWidthInteger>(at offset: Int, as: Integer.Type = Integer.self) -> Integer? {
        guard offset >= 0, count >= MemoryLayout<Integer>.size, offset <= count - MemoryLayout<Integer>.size else {
            return nil
        }
        return Integer(littleEndian: loadUnaligned(fromByteOffset: offset, as: Integer.self))
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Stores `value` big-endian at byte `offset`, which must lie within the buffer.
    @inlinable
    public func storeBigEndian(_ value: some FixedWidthInteger, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: type(of: value).self)
    }
}
