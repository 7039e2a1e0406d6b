// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc
internal import SystemPackage

/// A request of the kernel's, decoded as far as tests need it.
struct FuseRequest {
    enum Body {
        case lookUp(String)
        case attributes
        case setLength(Int?)
        case make(String, isFolder: Bool)
        case remove(String)
        case rename(String, folder: UInt64, to: String)
        case open
        case read(offset: Int, count: Int)
        case write(offset: Int, UnsafeRawBufferPointer)
        case synchronize
        case list(offset: Int)
        case space
        /// Something that is answered with success and means nothing here.
        case nothing
        case unknown
    }

    var node: UInt64
    var body: Body

    /// Whether it changes something, or makes a change durable.
    var isChange: Bool {
        switch body {
        case .make, .remove, .rename, .write, .synchronize: return true
        case .setLength(let length): return length != nil
        default: return false
        }
    }
}

/// What `fuse_attr` says of a file here.
struct FuseAttributes {
    var number: UInt64
    var length: Int
    var isFolder: Bool
}

/// An answer to the kernel.
enum FuseAnswer {
    case failure(Errno)
    case done
    case entry(UInt64, FuseAttributes)
    case attributes(FuseAttributes)
    case created(UInt64, FuseAttributes)
    case opened
    case content(file: Int32, offset: Int, count: Int)
    case written(Int)
    case names([(String, UInt64)], from: Int)
    case space
}

/// Reads requests from /dev/fuse and writes answers, until the file system is unmounted.
final class FuseServer: Sendable {
    private static let bufferLength = 1 << 20 | 64 << 10

    private let device: Int32
    private let respond: @Sendable (FuseRequest) -> FuseAnswer

    init(device: Int32, respond: @escaping @Sendable (FuseRequest) -> FuseAnswer) {
        self.device = device
        self.respond = respond
    }

    /// Starts the thread that serves.
    func start() throws {
        var thread = pthread_t()
        let server = Unmanaged.passRetained(self)
        let status = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<FuseServer>.fromOpaque(argument).takeRetainedValue().serve() }
                return nil
            }, server.toOpaque())
        guard status == 0 else {
            server.release()
            throw ToolError("cannot start a thread: errno \(status)")
        }
        pthread_detach(thread)
    }

    private func serve() {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferLength, alignment: 4096)
        defer {
            memory.deallocate()
            close(device)
        }
        while true {
            let count = read(device, memory.baseAddress, memory.count)
            guard count >= 40 else {
                // ENODEV: unmounted. ENOENT: the request was taken back.
                if count < 0, errno == EINTR || errno == EAGAIN || errno == ENOENT { continue }
                return
            }
            handle(UnsafeRawBufferPointer(rebasing: memory[..<count]))
        }
    }

    // MARK: Requests: struct fuse_in_header, 40 bytes, then what the operation has

    private func handle(_ bytes: UnsafeRawBufferPointer) {
        let operation = bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        let unique = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        let node = bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
        let body = UnsafeRawBufferPointer(rebasing: bytes[40...])
        switch operation {
        case 2, 36, 42: return  // FORGET, INTERRUPT, BATCH_FORGET: no answer.
        case 26: send(unique, initialisation(body))
        case 38: send(unique, [])
        default: send(unique, respond(FuseRequest(node: node, body: Self.decode(operation, body))))
        }
    }

    private static func decode(_ operation: UInt32, _ body: UnsafeRawBufferPointer) -> FuseRequest.Body {
        func long(_ offset: Int) -> Int { Int(body.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        func word(_ offset: Int) -> Int { Int(body.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
        func text(_ offset: Int) -> String {
            String(decoding: body[offset...].prefix { $0 != 0 }, as: UTF8.self)
        }
        switch operation {
        case 1: return .lookUp(text(0))
        case 3: return .attributes
        case 4: return .setLength(word(0) & 1 << 3 == 0 ? nil : long(16))
        case 9: return .make(text(8), isFolder: true)
        case 10, 11: return .remove(text(0))
        case 12, 45:
            let start = operation == 12 ? 8 : 16
            let name = text(start)
            return .rename(name, folder: UInt64(long(0)), to: text(start + name.utf8.count + 1))
        case 14, 27: return .open
        case 15: return .read(offset: long(8), count: word(16))
        case 16: return .write(offset: long(8), UnsafeRawBufferPointer(rebasing: body[40..<40 + word(16)]))
        case 17: return .space
        case 18, 25, 29: return .nothing
        case 20, 30: return .synchronize
        case 28: return .list(offset: long(8))
        case 35: return .make(text(16), isFolder: false)
        default: return .unknown
        }
    }

    /// struct fuse_init_out: requests of up to 1 MiB.
    private func initialisation(_ body: UnsafeRawBufferPointer) -> [UInt8] {
        var bytes = FuseBytes()
        let bigWrites: UInt32 = 1 << 5
        let maximumPages: UInt32 = 1 << 22
        bytes.append(UInt32(7), UInt32(31), body.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        bytes.append(bigWrites | maximumPages)
        bytes.append(UInt16(16), UInt16(12))
        bytes.append(UInt32(1 << 20), UInt32(1))
        bytes.append(UInt16(256), UInt16(0))
        bytes.append(UInt32(0), UInt32(0), UInt32(0), UInt32(0), UInt32(0), UInt32(0), UInt32(0), UInt32(0))
        return bytes.bytes
    }

    // MARK: Answers: struct fuse_out_header, 16 bytes, then what the operation has

    private func send(_ unique: UInt64, _ answer: FuseAnswer) {
        var bytes = FuseBytes()
        switch answer {
        case .failure(let errno): return send(unique, [], error: -errno.rawValue)
        case .done: break
        case .entry(let number, let attributes): bytes.appendEntry(number, attributes)
        case .attributes(let attributes):
            bytes.append(UInt64(0))
            bytes.append(UInt32(0), UInt32(0))
            bytes.append(attributes)
        case .created(let number, let attributes):
            bytes.appendEntry(number, attributes)
            bytes.appendOpened()
        case .opened: bytes.appendOpened()
        case .content(let file, let offset, let count):
            bytes.bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
                initialized = max(pread(file, buffer.baseAddress, count, off_t(offset)), 0)
            }
        case .written(let count): bytes.append(UInt32(count), UInt32(0))
        case .names(let names, let first):
            for (index, name) in names.enumerated().dropFirst(first).prefix(16) {
                bytes.append(name.1, UInt64(index + 1))
                bytes.append(UInt32(name.0.utf8.count), UInt32(0))
                bytes.bytes += Array(name.0.utf8) + [UInt8](repeating: 0, count: (8 - name.0.utf8.count % 8) % 8)
            }
        case .space:
            bytes.append(UInt64(1 << 30), UInt64(1 << 29), UInt64(1 << 29), UInt64(1 << 20), UInt64(1 << 20))
            bytes.append(UInt32(4096), UInt32(255), UInt32(4096), UInt32(0))
            bytes.append(UInt64(0), UInt64(0), UInt64(0))
        }
        send(unique, bytes.bytes)
    }

    private func send(_ unique: UInt64, _ body: [UInt8], error: Int32 = 0) {
        var bytes = FuseBytes()
        bytes.append(UInt32(16 + body.count))
        bytes.append(error)
        bytes.append(unique)
        let answer = bytes.bytes + body
        // One write, or the kernel takes it for another answer. ENOENT: nobody waits for it any more.
        _ = answer.withUnsafeBytes { write(device, $0.baseAddress, $0.count) }
    }
}

/// Bytes of an answer, in the machine's own order.
private struct FuseBytes {
    var bytes: [UInt8] = []

    mutating func append<Value: FixedWidthInteger>(_ values: Value...) {
        for value in values { withUnsafeBytes(of: value) { bytes += $0 } }
    }

    /// struct fuse_attr.
    mutating func append(_ attributes: FuseAttributes) {
        append(attributes.number, UInt64(attributes.length), UInt64((attributes.length + 511) / 512))
        append(UInt64(0), UInt64(0), UInt64(0))
        append(UInt32(0), UInt32(0), UInt32(0))
        append(attributes.isFolder ? UInt32(0o040755) : UInt32(0o100644))
        append(UInt32(1), UInt32(0), UInt32(0), UInt32(0), UInt32(4096), UInt32(0))
    }

    /// struct fuse_entry_out; nothing of it is to be kept in a cache.
    mutating func appendEntry(_ number: UInt64, _ attributes: FuseAttributes) {
        append(number, UInt64(0), UInt64(0), UInt64(0))
        append(UInt32(0), UInt32(0))
        append(attributes)
    }

    /// struct fuse_open_out, FOPEN_DIRECT_IO: past the page cache.
    mutating func appendOpened() {
        append(UInt64(0))
        append(UInt32(1), UInt32(0))
    }
}
