// SPDX-License-Identifier: GPL-3.0-or-later

internal import CSHA256
internal import CloneFormat
internal import Glibc
internal import TestSupport
internal import Testing

/// Digests of two contents at once, against those of one by swift-crypto, and against sha256sum.
struct DigestPairTests {
    /// Memory whose last byte is followed by none: whoever reads on is ended by the kernel.
    private final class FencedMemory {
        private static let page = 4096
        private static let pages = 3
        private let start: UnsafeMutableRawPointer

        init() throws {
            let length = (Self.pages + 1) * Self.page
            let memory = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            start = try #require(memory == MAP_FAILED ? nil : memory)
            #expect(mprotect(start + Self.pages * Self.page, Self.page, PROT_NONE) == 0)
        }

        deinit { munmap(start, (Self.pages + 1) * Self.page) }

        /// Returns the last bytes but `gap`, filled with `bytes`.
        func end(_ bytes: [UInt8], gap: Int) -> UnsafeRawBufferPointer {
            let place = start + (Self.pages * Self.page - gap - bytes.count)
            place.copyMemory(from: bytes, byteCount: bytes.count)
            return UnsafeRawBufferPointer(start: place, count: bytes.count)
        }
    }

    @Test func theProcessorIsAskedForWhatTheKernelKnows() throws {
        let words = try Tool.output("cat", ["/proc/cpuinfo"]).split { " \t\n:".contains($0) }
        let canDoIt = Set(["sha_ni", "ssse3", "sse4_1"]).isSubset(of: words.map(String.init))
        #expect((cs_can_digest_pairs() != 0) == canDoIt)
    }

    @Test func agreesWithTheStandard() {
        // FIPS 180-2, B.2: two blocks, with the length in the second.
        let text = Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)
        let zeros = [UInt8](repeating: 0, count: text.count)
        let digests = text.withUnsafeBytes { text in zeros.withUnsafeBytes { Digest.each(of: [text, $0]) } }
        #expect(
            digests.map(\.description) == [
                "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
                Digest.ofZeros(count: text.count).description,
            ])
    }

    @Test func everyLengthUpToSomeBlocksAtEveryAlignment() throws {
        var generator = SeededGenerator(seed: 41)
        let (first, second) = (try FencedMemory(), try FencedMemory())
        for length in 0...300 {
            let contents = (generator.bytes(length), generator.bytes(length))
            let expected = [Digest(of: contents.0), Digest(of: contents.1)]
            for gap in 0..<17 {
                let found = Digest.each(of: [
                    first.end(contents.0, gap: gap), second.end(contents.1, gap: gap * 7 % 17),
                ])
                #expect(found == expected, "\(length) bytes, \(gap) before the end")
            }
        }
    }

    @Test func manyLengths() throws {
        var generator = SeededGenerator(seed: 42)
        let (first, second) = (try FencedMemory(), try FencedMemory())
        for _ in 0..<2000 {
            let length = Int.random(in: 0...12_000, using: &generator)
            let contents = (generator.bytes(length), generator.bytes(length))
            let found = Digest.each(of: [first.end(contents.0, gap: 0), second.end(contents.1, gap: length % 64)])
            #expect(found == [Digest(of: contents.0), Digest(of: contents.1)], "\(length) bytes")
        }
    }

    @Test func onlyNeighboursOfOneLengthGoTogetherAndAllKeepTheirOrder() {
        var generator = SeededGenerator(seed: 43)
        let chunk = 1 << 20
        for lengths in [
            [], [5], [chunk, chunk], [chunk, chunk, chunk], [chunk, chunk, chunk, 4097],
            [chunk, 512, 512, chunk, 0, 0],
            [chunk, 1, chunk],
        ] {
            let contents = lengths.map { generator.bytes($0) }
            let joined = contents.flatMap(\.self)
            let digests = joined.withUnsafeBytes { joined in
                var place = 0
                return Digest.each(
                    of: lengths.map { length in
                        defer { place += length }
                        return UnsafeRawBufferPointer(rebasing: joined[place..<place + length])
                    })
            }
            #expect(digests == contents.map { Digest(of: $0) }, "\(lengths)")
        }
    }

    @Test func theSameContentTwiceGivesTheSameTwice() {
        let bytes = SampleContent.bytes(.random, length: 1 << 20)
        let digests = bytes.withUnsafeBytes { Digest.each(of: [$0, $0]) }
        #expect(digests == [Digest(of: bytes), Digest(of: bytes)])
    }

    @Test func aBitMakesADifferenceInItsOwnLaneOnly() {
        var generator = SeededGenerator(seed: 44)
        let before = (generator.bytes(1000), generator.bytes(1000))
        func digests(_ contents: ([UInt8], [UInt8])) -> [Digest] {
            contents.0.withUnsafeBytes { first in contents.1.withUnsafeBytes { Digest.each(of: [first, $0]) } }
        }
        let good = digests(before)
        for bit in stride(from: 0, to: 8000, by: 7) {
            var after = before
            after.0[bit / 8] ^= 1 << UInt8(bit % 8)
            let found = digests(after)
            #expect(found[0] != good[0] && found[1] == good[1], "bit \(bit)")
        }
    }

    @Test(.enabled(if: Tool.isInstalled("sha256sum"), "needs sha256sum"))
    func agreesWithSha256sum() throws {
        let folder = try TemporaryFolder()
        var generator = SeededGenerator(seed: 45)
        let lengths = Array(0...300) + (0..<40).map { _ in Int.random(in: 0...3_000_000, using: &generator) }
        var expected = ""
        var paths: [String] = []
        for length in lengths {
            let contents = [generator.bytes(length), generator.bytes(length)]
            let digests = contents[0].withUnsafeBytes { first in
                contents[1].withUnsafeBytes { Digest.each(of: [first, $0]) }
            }
            for (content, digest) in zip(contents, digests) {
                paths.append(try SampleContent.write(content, to: folder.file("\(paths.count)")))
                expected += "\(digest.hexadecimal)  \(paths[paths.count - 1])\n"
            }
        }
        #expect(try Tool.output("sha256sum", paths) == expected)
    }
}
