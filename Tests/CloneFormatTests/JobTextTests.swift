// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import TestSupport
internal import Testing

/// A job's YAML, hostile and not, and the kernel's own way of splitting its command line.
struct JobTextTests {
    private static let job = Array(
        """
        # A job
        mode: auto
        target: "nfs://10.0.0.1:2049/clones?vers=4.2"
        disks:
          - sda
          - 'serial:Z1D3X5'
        iscsi:
          - portal: 10.0.0.9
            user: web
            secret: "hunter2"
        on_done: poweroff

        """.utf8)

    private func parse(_ bytes: [UInt8]) -> FormatError? {
        do throws(FormatError) {
            var configuration = JobConfiguration()
            try configuration.apply(job: try JobText.parse(bytes, place: "job"), place: "job")
            return nil
        } catch {
            return error
        }
    }

    @Test func linesAreRemembered() throws {
        let entries = try JobText.parse(Self.job, place: "job")
        #expect(entries.map(\.name) == ["mode", "target", "disks", "iscsi", "on_done"])
        #expect(entries.map(\.value.line) == [2, 3, 5, 8, 11])
        #expect(parse(Array("mode: auto\n\nformat: vmdk\n".utf8))?.description.contains("line 3") == true)
        #expect(parse(Self.job) == nil)
        #expect(try JobText.parse([], place: "job").isEmpty)
        #expect(try JobText.parse(Array("# nothing\n".utf8), place: "job").isEmpty)
    }

    @Test func truncationAtEveryLengthIsReadOrRefused() {
        var refused = 0
        for length in 0..<Self.job.count where parse(Array(Self.job.prefix(length))) != nil { refused += 1 }
        // A text that ends in the middle of a quoted scalar or of a key is none.
        #expect(refused > 50)
    }

    @Test func flippedBytesNeverTrap() {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<3000 {
            var bytes = Self.job
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            if let error = parse(bytes) { #expect(!error.description.contains("hunter2")) }
        }
    }

    @Test func nothingGrowsWithoutBound() {
        let deep = String(repeating: "[", count: 100_000)
        let nested = "disks: " + String(repeating: "[", count: 500) + String(repeating: "]", count: 500)
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\n"
        let many = "disks: [" + String(repeating: "a,", count: 60_000) + "]"
        let long = "name: " + String(repeating: "a", count: 1 << 20)
        for text in [deep, nested, bomb, many, long, "name: \"\(String(repeating: "é", count: 9000))\""] {
            #expect(parse(Array(text.utf8)) != nil)
        }
        #expect(parse([0xff, 0xfe, 0x00]) != nil)
        #expect(parse(Array("a: b\n---\nc: d\n".utf8)) != nil)
    }

    @Test(
        arguments: [
            ("", []), ("  \n", []), ("a b=c", ["a", "b=c"]), ("a=\"b c\" d", ["a=b c", "d"]),
            ("\"a=b c\" d", ["a=b c", "d"]), ("a=b\"c d\"e", ["a=b\"c d\"e"]), ("a=\"b", ["a=b"]), ("\"", [""]),
            ("on-done=x on_done", ["on_done=x", "on_done"]), ("=x", ["=x"]), ("a==b", ["a==b"]), ("a=", ["a="]),
            ("a=b\tc=d\u{0B}e", ["a=b", "c=d", "e"]), ("x=\"\"", ["x="]),
        ] as [(String, [String])])
    func commandLinesAreSplitAsTheKernelDoes(text: String, expected: [String]) {
        let parameters = KernelCommandLine.parse(text).map { parameter in
            parameter.value.map { "\(parameter.name)=\($0)" } ?? parameter.name
        }
        #expect(parameters == expected)
    }

    @Test func commandLinesOfAnyBytesAreSplit() {
        var generator = SeededGenerator(seed: 6)
        for _ in 0..<2000 {
            let bytes = (0..<Int.random(in: 0...60, using: &generator)).map { _ in
                Array(" \"=-_a\u{00}b.\n".utf8).randomElement(using: &generator) ?? 0
            }
            let parameters = KernelCommandLine.parse(String(decoding: bytes, as: UTF8.self))
            #expect(parameters.count <= bytes.count)
            #expect(parameters.allSatisfy { !$0.name.contains("-") })
        }
        #expect(KernelCommandLine.parse(String(repeating: "a ", count: 1 << 20)).count <= 32 << 10)
    }
}
