// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import TestSupport
internal import Testing

/// A folder that somebody else writes to while it is read.
struct PinnedFolderTests {
    private let folder: TemporaryFolder
    private let secret: String

    init() throws {
        folder = try TemporaryFolder()
        secret = try SampleContent.write(Array("secret".utf8), to: folder.file("secret"))
        try SampleContent.write(Array("open".utf8), to: "\(folder.folder("clone"))/image")
    }

    private func text(_ name: String, in pinned: PinnedFolder) throws -> String {
        String(decoding: try SmallFile.read(name, in: pinned, limit: 100), as: UTF8.self)
    }

    @Test func readsItsFiles() throws {
        let pinned = try PinnedFolder(folder.file("clone"))
        #expect(try text("image", in: pinned) == "open")
        #expect(try FileSource("image", in: pinned, direct: .never).lengthInBytes == 4)
        #expect(try pinned.names() == ["image"] && pinned.names() == ["image"])
        #expect(pinned.contains("image") && !pinned.contains("other"))
        #expect(throws: BlockError.self) { try SmallFile.read("image", in: pinned, limit: 3) }
    }

    @Test func followsNoLink() throws {
        let pinned = try PinnedFolder(folder.file("clone"))
        #expect(symlink(secret, folder.file("clone/link")) == 0)
        #expect(symlink("missing", folder.file("clone/dangling")) == 0)
        for name in ["link", "dangling"] {
            let error = #expect(throws: BlockError.self) { try FileSource(name, in: pinned, direct: .always) }
            #expect(error?.description == "cannot open \(folder.file("clone"))/\(name): it is a symbolic link")
            #expect(throws: BlockError.self) { try SmallFile.read(name, in: pinned, limit: 100) }
            #expect(pinned.contains(name))
        }
    }

    @Test(arguments: ["", ".", "..", "../secret", "/etc/hostname", "sub/../image"])
    func takesNamesOnly(_ name: String) throws {
        let pinned = try PinnedFolder(folder.file("clone"))
        #expect(throws: BlockError.self) { try SmallFile.read(name, in: pinned, limit: 1 << 20) }
        #expect(throws: BlockError.self) { try pinned.sibling(name) }
    }

    @Test func staysWhereItWas() throws {
        let pinned = try PinnedFolder(folder.file("clone"))
        try SampleContent.write(Array("trap".utf8), to: "\(folder.folder("trap"))/image")
        #expect(rename(folder.file("clone"), folder.file("moved")) == 0)
        #expect(symlink(folder.file("trap"), folder.file("clone")) == 0)
        #expect(try text("image", in: pinned) == "open")
        try pinned.writeDurably(Array("verdict".utf8), to: "receipt.json")
        #expect(try pinned.names() == ["image", "receipt.json"])
        #expect(try Folder.names(in: folder.file("trap")) == ["image"])
        let error = #expect(throws: BlockError.self) { try pinned.writeDurably([1], to: "receipt.json") }
        #expect(error?.description == "cannot create \(folder.file("clone"))/receipt.json: File exists")
        #expect(throws: BlockError.self) { try PinnedFolder(folder.file("clone"), followingLink: false) }
        #expect(try text("image", in: PinnedFolder(folder.file("clone"))) == "trap")
    }

    @Test func findsWhatStandsBesideIt() throws {
        try SampleContent.write(Array("base".utf8), to: "\(folder.folder("base"))/image")
        #expect(symlink(folder.file("base"), folder.file("link")) == 0)
        let pinned = try PinnedFolder(folder.file("clone"))
        #expect(try text("image", in: pinned.sibling("base")) == "base")
        for name in ["link", "secret", "missing"] {
            #expect(throws: BlockError.self, "\(name)") { try pinned.sibling(name) }
        }
    }
}
