// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

/// Digests and their texts.
struct DigestTests {
    /// FIPS 180-4 examples: of nothing, and of `abc`.
    private let ofNothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    private let ofABC = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    @Test func agreesWithTheStandard() {
        #expect(Digest(of: [UInt8]()).description == ofNothing)
        #expect(Digest(of: Array("abc".utf8)).description == ofABC)
        #expect(Digest.ofZeros(count: 0).description == ofNothing)
        #expect(Digest.ofZeros(count: 5) == Digest(of: [0, 0, 0, 0, 0]))
    }

    @Test func textComesBack() throws {
        let digest = try #require(Digest(ofABC))
        #expect(digest == Digest(of: Array("abc".utf8)))
        #expect(digest.description == ofABC)
        #expect("sha256:" + digest.hexadecimal == ofABC)
        #expect(Digest(bytes: digest.bytes) == digest)
        let read: [Digest] = try JSONText.decode(JSONText.encode([digest]), file: "x")
        #expect(read == [digest])
    }

    @Test func otherTextsAreRefused() {
        let digits = String(ofABC.dropFirst(7))
        let refused: [String] = [
            "", digits, "sha256:", "sha512:\(digits)", "SHA256:\(digits)", "sha256:\(digits.uppercased())",
            "sha256:\(digits.dropLast())", "sha256:\(digits.dropLast(2))", "\(ofABC)0", "\(ofABC)00", " \(ofABC)",
            "\(ofABC)\n", "sha256: \(digits.dropLast())", "sha256:\(digits.dropLast())g",
            "sha256:\(digits.dropLast(2))é",
        ]
        for text in refused { #expect(Digest(text) == nil, "\(text)") }
        for count in [0, 1, 31, 33, 64] { #expect(Digest(bytes: [UInt8](repeating: 0, count: count)) == nil) }
        #expect(throws: FormatError.self) {
            let _: [Digest] = try JSONText.decode(Array("[\"sha256:00\"]".utf8), file: "x")
        }
    }

    @Test func hexadecimalComesBack() {
        let bytes = (UInt8.min...UInt8.max).map(\.self)
        let text = Hexadecimal.encode(bytes)
        #expect(text.hasPrefix("000102") && text.hasSuffix("fdfeff") && text.utf8.count == 512)
        #expect(Hexadecimal.decode(text.utf8) == bytes)
        #expect(Hexadecimal.decode("".utf8) == [])
        for refused in ["0", "abc", "AB", "0x", "g0", " 0", "0/", "0:", "`0", "é"] {
            #expect(Hexadecimal.decode(refused.utf8) == nil, "\(refused)")
        }
    }
}

/// The content digest, against what the format's description says, computed here without any of its code.
struct ContentDigestTests {
    /// The states of a disk's chunks, the content of those that have any being made from their number.
    private struct Disk: CustomTestStringConvertible {
        var length: Int64
        var states: [ChunkState]
        var testDescription: String { "\(length) bytes, \(states)" }

        func content(_ chunk: Int) -> [UInt8] {
            let length = min(1_048_576, Int(self.length) - chunk * 1_048_576)
            guard states[chunk] != .zero else { return [UInt8](repeating: 0, count: length) }
            return SampleContent.bytes(.random, length: length, seed: UInt64(chunk) + 1)
        }

        /// The bytes that CloneOnDisk.md, "Content digest", wants hashed.
        var preimage: [UInt8] {
            var bytes = Array("coldclone-disk/1".utf8)
            for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(length >> Int64(shift) & 0xff)) }
            bytes += [0x00, 0x00, 0x10, 0x00]
            for (chunk, state) in states.enumerated() {
                let digest = Digest(of: content(chunk)).bytes
                bytes += state == .lost ? digest.map { $0 ^ 0xff } : digest
            }
            return bytes
        }
    }

    private static let disks = [
        Disk(length: 0, states: []),
        Disk(length: 1, states: [.data]),
        Disk(length: 512, states: [.zero]),
        Disk(length: 1_048_576, states: [.data]),
        Disk(length: 1_048_577, states: [.data, .zero]),
        Disk(length: 3_145_728, states: [.zero, .zero, .zero]),
        Disk(length: 4_000_000, states: [.data, .zero, .lost, .data]),
        Disk(length: 4_000_000, states: [.zero, .lost, .zero, .zero]),
    ]

    private func computed(_ disk: Disk, implyingZeros: Bool) -> Digest {
        var digest = ContentDigest(diskLength: disk.length)
        for (chunk, state) in disk.states.enumerated() {
            if state == .zero {
                if !implyingZeros { digest.appendZeros(upTo: chunk + 1) }
            } else {
                digest.appendZeros(upTo: chunk)
                digest.append(Digest(of: disk.content(chunk)), lost: state == .lost)
            }
        }
        return digest.finish()
    }

    @Test(arguments: disks)
    private func agreesWithTheDescription(disk: Disk) {
        let expected = Digest(of: disk.preimage)
        #expect(computed(disk, implyingZeros: false) == expected)
        #expect(computed(disk, implyingZeros: true) == expected)
    }

    @Test func aZeroChunkIsWorthWhatItsDigestIs() {
        var spelledOut = ContentDigest(diskLength: 3 << 20)
        for _ in 0..<3 { spelledOut.append(Digest.ofZeros(count: 1 << 20)) }
        #expect(spelledOut.finish() == ContentDigest(diskLength: 3 << 20).finish())
    }

    @Test func manyZerosAreWorthAsManySingleOnes() {
        // More than are hashed at once, and a short last one.
        let length = Int64(2500) << 20 | 12345
        var bytes = Array("coldclone-disk/1".utf8)
        for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(length >> Int64(shift) & 0xff)) }
        bytes += [0, 0, 16, 0]
        for _ in 0..<2500 { bytes += Digest.ofZeros(count: 1 << 20).bytes }
        bytes += Digest.ofZeros(count: 12345).bytes
        #expect(ContentDigest(diskLength: length).finish() == Digest(of: bytes))
    }

    @Test func lossIsNoContent() {
        let all = Self.disks.map { computed($0, implyingZeros: true) }
        #expect(Set(all).count == all.count)
        var good = ContentDigest(diskLength: 5)
        var lost = good
        good.append(Digest(of: [1, 2, 3, 4, 5]))
        lost.append(Digest(of: [1, 2, 3, 4, 5]), lost: true)
        #expect(good.finish() != lost.finish())
    }

    @Test(.enabled(if: Tool.isInstalled("python3"), "needs python3"), arguments: disks)
    private func agreesWithPython(disk: Disk) throws {
        let folder = try TemporaryFolder()
        let content = disk.states.indices.flatMap { disk.content($0) }
        try SampleContent.write(content, to: folder.file("disk"))
        let program = """
            import hashlib, struct, sys
            disk, lost = open(sys.argv[1], "rb").read(), [int(chunk) for chunk in sys.argv[2].split(",") if chunk]
            root = hashlib.sha256(b"coldclone-disk/1" + struct.pack("<QI", len(disk), 1 << 20))
            for chunk in range((len(disk) + (1 << 20) - 1) >> 20):
                digest = hashlib.sha256(disk[chunk << 20:chunk + 1 << 20]).digest()
                root.update(bytes(byte ^ 255 for byte in digest) if chunk in lost else digest)
            print("sha256:" + root.hexdigest())
            """
        let lost = disk.states.indices.filter { disk.states[$0] == .lost }.map(String.init).joined(separator: ",")
        let output = try Tool.output("python3", ["-c", program, folder.file("disk"), lost])
        #expect(output == "\(computed(disk, implyingZeros: true))\n")
    }
}
