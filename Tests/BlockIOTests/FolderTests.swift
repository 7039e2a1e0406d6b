// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import SystemPackage
internal import TestSupport
internal import Testing

/// Directories and small files of the target.
struct FolderTests {
    @Test func writesDurablyAndLeavesNothingElse() throws {
        let folder = try TemporaryFolder()
        try Folder.writeDurably(Array("one".utf8), to: "manifest.json", in: folder.path)
        #expect(try Folder.names(in: folder.path) == ["manifest.json"])
        #expect(try SmallFile.text(folder.file("manifest.json"), limit: 10) == "one")
    }

    @Test func overwritesOnlyWhenAsked() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("receipt.json")
        try Folder.writeDurably(Array("one".utf8), to: "receipt.json", in: folder.path)
        let error = #expect(throws: BlockError.self) {
            try Folder.writeDurably(Array("two".utf8), to: "receipt.json", in: folder.path)
        }
        #expect(error?.description == "cannot create \(path): File exists")
        #expect(try SmallFile.text(path, limit: 10) == "one")
        #expect(try Folder.names(in: folder.path) == ["receipt.json"])
        try Folder.writeDurably(Array("two".utf8), to: "receipt.json", in: folder.path, replacing: true)
        #expect(try SmallFile.text(path, limit: 10) == "two")
        #expect(try Folder.names(in: folder.path) == ["receipt.json"])
    }

    @Test func takesNoLinkForAFreeName() throws {
        let folder = try TemporaryFolder()
        #expect(symlink("elsewhere", folder.file("manifest.json")) == 0)
        #expect(throws: BlockError.self) { try Folder.writeDurably([1], to: "manifest.json", in: folder.path) }
        #expect(try Folder.names(in: folder.path) == ["manifest.json"])
    }

    @Test func replacesATemporaryThatACrashLeft() throws {
        let folder = try TemporaryFolder()
        try SampleContent.write(Array("half of a longer text".utf8), to: folder.file(".journal.tmp"))
        try Folder.writeDurably(Array("new".utf8), to: "journal", in: folder.path)
        #expect(try Folder.names(in: folder.path) == ["journal"])
        #expect(try SmallFile.text(folder.file("journal"), limit: 100) == "new")
    }

    @Test func listsNamesSorted() throws {
        let folder = try TemporaryFolder()
        for name in ["b", "a", ".hidden", "ä", "sub dir"] { _ = try folder.folder(name) }
        #expect(try Folder.names(in: folder.path) == [".hidden", "a", "b", "sub dir", "ä"])
        #expect(try Folder.names(in: folder.file("a")).isEmpty)
        let missing = #expect(throws: BlockError.self) { try Folder.names(in: folder.file("missing")) }
        #expect(missing?.isNotFound == true)
        let file = try SampleContent.write([1], to: folder.file("file"))
        let error = #expect(throws: BlockError.self) { try Folder.names(in: file) }
        #expect(error?.hint == "name the folder, not a file")
    }

    @Test func createsAFolderOnce() throws {
        let folder = try TemporaryFolder()
        try Folder.create(folder.file("clone"))
        let error = #expect(throws: BlockError.self) { try Folder.create(folder.file("clone")) }
        #expect(error?.cause == .system(.fileExists))
        try Folder.synchronize(folder.file("clone"))
        #expect(throws: BlockError.self) { try Folder.synchronize(folder.file("missing")) }
    }

    @Test func removesWhatIsThereAndWhatIsNot() throws {
        let folder = try TemporaryFolder()
        let path = try SampleContent.write([1], to: folder.file("file"))
        try Folder.remove(path)
        try Folder.remove(path)
        #expect(!Folder.exists(path))
        #expect(throws: BlockError.self) { try Folder.remove(folder.path) }
    }

    @Test func knowsTheFreeSpace() throws {
        let folder = try TemporaryFolder()
        let output = try Tool.output("df", ["--output=avail", "--block-size=1", folder.path])
        let expected = try #require(output.split(separator: "\n").last.flatMap { Int64($0.filter(\.isNumber)) })
        // Others write meanwhile.
        let free = try Folder.freeSpace(in: folder.path)
        #expect(abs(free - expected) < 8 << 30)
        #expect(throws: BlockError.self) { try Folder.freeSpace(in: folder.file("missing")) }
    }
}

/// Small files, whole.
struct SmallFileTests {
    @Test func readsUpToItsLimit() throws {
        let folder = try TemporaryFolder()
        let content = SampleContent.bytes(.random, length: 200_000)
        let path = try SampleContent.write(content, to: folder.file("file"))
        #expect(try SmallFile.read(path, limit: 200_000) == content)
        let error = #expect(throws: BlockError.self) { try SmallFile.read(path, limit: 199_999) }
        #expect(error?.description == "cannot read \(path): it is longer than the 199999 bytes it may have")
        // Of unknown, and of infinite length.
        #expect(try SmallFile.text("/proc/self/stat", limit: 65536).contains(")"))
        #expect(throws: BlockError.self) { try SmallFile.read("/dev/zero", limit: 1 << 20) }
        #expect(throws: BlockError.self) { try SmallFile.read(folder.path, limit: 1) }
    }
}
