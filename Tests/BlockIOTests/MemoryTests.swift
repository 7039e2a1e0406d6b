// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Testing

/// Buffers and the numbers in them.
struct MemoryTests {
    @Test func buffersAreAligned() {
        for count in [0, 1, 511, 4096, 1 << 20] {
            let buffer = AlignedBuffer(count: count)
            #expect(buffer.bytes.count >= count)
            #expect(Int(bitPattern: buffer.bytes.baseAddress) % AlignedBuffer.alignment == 0)
            #expect(buffer.prefix(count).count == count)
        }
    }

    @Test func largeBuffersAskForHugePages() throws {
        let huge = 2 << 20
        for count in [huge, huge + 1, 5 << 20] {
            let buffer = AlignedBuffer(count: count)
            #expect(buffer.bytes.count == count)
            #expect(Int(bitPattern: buffer.bytes.baseAddress) % huge == 0)
            for index in stride(from: 0, to: count, by: 4096) { buffer.bytes[index] = 1 }
            buffer.bytes[count - 1] = 2
            #expect(buffer.bytes[0] == 1 && buffer.bytes[count - 1] == 2)
            let isAsked = try mappingFlags(at: UInt(bitPattern: buffer.bytes.baseAddress)).contains("hg")
            #expect(isAsked == Folder.exists("/sys/kernel/mm/transparent_hugepage"))
        }
    }

    /// The flags of the mapping that holds `address`: "hg" once huge pages were asked for.
    ///
    /// proc(5), smaps.
    private func mappingFlags(at address: UInt) throws -> [Substring] {
        var isInside = false
        for line in try SmallFile.text("/proc/self/smaps", limit: 64 << 20).split(separator: "\n") {
            let fields = line.split(separator: " ")
            let ends = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
            if ends.count == 2 { isInside = ends[0] <= address && address < ends[1] }
            if isInside, fields[0] == "VmFlags:" { return fields }
        }
        return []
    }

    @Test(arguments: [0, 1, 2, 3, 5, 8, 13])
    func seesASingleByteAnywhere(start: Int) {
        var missed: [String] = []
        for count in Array(0...70) + [4096] {
            // What surrounds the range must not matter.
            let buffer = AlignedBuffer(count: count + 64)
            for index in buffer.bytes.indices { buffer.bytes[index] = 0xff }
            let part = buffer.bytes.part(start, count)
            part.clear()
            if !UnsafeRawBufferPointer(part).isAllZero { missed.append("\(count) zeros") }
            for index in 0..<count {
                part[index] = index % 2 == 0 ? 1 : 0x80
                if UnsafeRawBufferPointer(part).isAllZero { missed.append("\(index) of \(count)") }
                part[index] = 0
            }
            if buffer.bytes[start + count] != 0xff || (start > 0 && buffer.bytes[start - 1] != 0xff) {
                missed.append("clear went too far at \(count)")
            }
        }
        #expect(missed.isEmpty)
        #expect(UnsafeRawBufferPointer(start: nil, count: 0).isAllZero)
        UnsafeMutableRawBufferPointer(start: nil, count: 0).clear()
    }

    @Test func numbersOutOfBoundsAreNil() {
        let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
        bytes.withUnsafeBytes { bytes in
            #expect(bytes.bigEndian(at: 0, as: UInt64.self) == 0x0102_0304_0506_0708)
            #expect(bytes.bigEndian(at: 1, as: UInt64.self) == 0x0203_0405_0607_0809)
            #expect(bytes.littleEndian(at: 1, as: UInt64.self) == 0x0908_0706_0504_0302)
            #expect(bytes.bigEndian(at: 3, as: UInt16.self) == 0x0405)
            #expect(bytes.littleEndian(at: 5, as: UInt32.self) == 0x0908_0706)
            #expect(bytes.littleEndian(at: 8, as: UInt8.self) == 9)
            for offset in [2, 9, 10, -1, .max, .min] {
                #expect(bytes.bigEndian(at: offset, as: UInt64.self) == nil)
                #expect(bytes.littleEndian(at: offset, as: UInt64.self) == nil)
            }
            #expect(bytes.bigEndian(at: 9, as: UInt8.self) == nil)
        }
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(nothing.bigEndian(at: 0, as: UInt8.self) == nil && nothing.littleEndian(at: 0, as: UInt64.self) == nil)
    }

    @Test func storesBigEndian() {
        var bytes = [UInt8](repeating: 0, count: 8)
        bytes.withUnsafeMutableBytes { bytes in
            bytes.storeBigEndian(UInt32(0x0102_0304), at: 1)
            bytes.storeBigEndian(UInt16(0xaabb), at: 6)
        }
        #expect(bytes == [0, 1, 2, 3, 4, 0, 0xaa, 0xbb])
    }
}
