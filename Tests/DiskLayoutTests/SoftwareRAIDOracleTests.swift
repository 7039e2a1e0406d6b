// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import TestSupport
internal import Testing

/// Arrays that Linux made: what we read of them is what mdadm reads, and their data are what the kernel saw.
@Suite(.enabled(if: UMLMachine.isAvailable && Tool.isInstalled("mdadm", "lvs"), "user-mode-linux is not installed"))
struct SoftwareRAIDOracleTests {
    /// The lines `key : value` of mdadm --examine.
    private func lines(_ text: String) -> [String: String] {
        var found: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " : ", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let key = String(parts[0].drop { $0 == " " })
            if found[key] == nil { found[key] = String(parts[1]) }
        }
        return found
    }

    private func sources(_ set: StorageSet) throws -> [any BlockSource] {
        try set.disks.map { disk in
            let file = try FileSource(set.path(disk))
            return set.name.hasSuffix("-4k") ? Sectored(base: file) : file
        }
    }

    @Test func readsWhatMdadmReads() throws {
        var compared = 0
        for set in try StorageSet.all("md") {
            let layout = try StorageLayout.read(sources(set))
            let members = layout.arrays.flatMap { $0.array.active + $0.array.spares + $0.array.stale + $0.array.others }
            for disk in set.disks {
                for part in ["", "p1", "p2"] {
                    guard let text = try set.text("\(disk)\(part).examine"), text.contains("Magic : a92b4efc") else {
                        continue
                    }
                    // mdadm takes the end of the last partition for the end of the disk: it is the partition's.
                    if part.isEmpty, set.name.hasPrefix("mbr-") { continue }
                    let name = "\(set.path(disk))\(part.isEmpty ? "" : "p" + part.dropFirst())"
                    let member = try #require(members.first { $0.device == name }, "\(set.name): \(name)")
                    try compare(member, lines(text), set.name)
                    compared += 1
                }
            }
        }
        #expect(compared > 80)
    }

    private func compare(_ member: MDMember, _ oracle: [String: String], _ name: String) throws {
        let superblock = member.superblock
        func expect(_ key: String, _ value: String) {
            guard let word = oracle[key] else { return }
            #expect(word == value || word.hasPrefix(value + " "), "\(name), \(member.device): \(key)")
        }
        expect(
            "Version",
            superblock.version == .v0_90
                ? "0.90.00" : superblock.version == .v1_0 ? "1.0" : "1.\(superblock.version.rawValue.suffix(1))")
        expect(superblock.version == .v0_90 ? "UUID" : "Array UUID", superblock.arrayUUID.description)
        expect("Name", superblock.name)
        expect("Raid Level", superblock.level.description)
        expect("Raid Devices", "\(superblock.raidDisks)")
        if let layout = superblock.layoutName { expect("Layout", layout) }
        if superblock.chunkSizeInBytes > 0 { expect("Chunk Size", "\(superblock.chunkSizeInBytes >> 10)K") }
        expect("Data Offset", "\(superblock.dataOffsetInBytes / 512) sectors")
        expect("Events", "\(superblock.eventCount)")
        if let uuid = superblock.deviceUUID { expect("Device UUID", uuid.description) }
        #expect(oracle["Checksum"]?.hasSuffix("correct") == superblock.isChecksumCorrect)
        expect("State", superblock.isClean ? "clean" : "active")
        switch superblock.role {
        case .active(let role): expect("Device Role", "Active device \(role)")
        case .spare: expect("Device Role", "spare")
        default: break
        }
    }

    /// The content of every array, read by us from its members, has the digest that the kernel's own reading had.
    @Test func readsTheDataOfEveryArray() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        var arrays = 0
        for set in try StorageSet.all("md") {
            let layout = try StorageLayout.read(sources(set))
            for array in layout.arrays {
                let key =
                    set.digests.count == 1 ? "array" : array.array.superblock?.name.hasSuffix("a") == true ? "a" : "b"
                let volume = try #require(array.volume, "\(set.name): \(array.array.findings)")
                #expect(try digest(volume.source, folder) == set.digests[key], "\(set.name)")
                #expect(volume.content.type == "ext4", "\(set.name)")
                arrays += 1
            }
        }
        #expect(arrays >= 35)
    }

    /// One member less: parity or a copy makes up for it.
    @Test(arguments: [
        "raid1-1.2", "raid5-1.2", "raid5-right-asymmetric", "raid5-parity-first", "raid4", "raid6-1.2",
        "raid6-ddf-zero-restart", "raid6-left-symmetric-6", "raid10-near-1.2", "raid10-far", "raid10-offset",
    ])
    func readsWithoutOneMember(name: String) throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let set = try StorageSet.named("md", name)
        for missing in set.disks.indices {
            var disks = try sources(set)
            disks.remove(at: missing)
            let layout = try StorageLayout.read(disks)
            let array = try #require(layout.arrays.first)
            #expect(array.array.state == .degraded)
            let volume = try #require(array.volume)
            #expect(try digest(volume.source, folder) == set.digests["array"], "without \(missing)")
        }
    }

    @Test func tellsOfTroubles() throws {
        func array(_ name: String) throws -> MDArray {
            try #require(try StorageLayout.read(sources(StorageSet.named("md", name))).arrays.first).array
        }
        #expect(try array("raid6-missing").missing == [1])
        #expect(try array("raid6-missing").state == .degraded)
        for version in ["0.90", "1.2"] {
            let stale = try array("raid5-stale-\(version)")
            #expect(stale.stale.map { $0.device.last } == ["2"])
            #expect(stale.missing == [2])
        }
        #expect(try array("raid5-spare").spares.count == 1)
        #expect(try array("raid5-spare").state == .complete)
        #expect(try array("raid1-faulty").state == .degraded)
    }

    /// A superblock at the end of the last partition is not one of the whole disk as well.
    @Test(arguments: ["mbr-0.90", "mbr-1.0", "gpt"])
    func takesMembersInPartitionsOnce(name: String) throws {
        let layout = try StorageLayout.read(sources(StorageSet.named("md", name)))
        #expect(layout.arrays.count == (name == "gpt" ? 2 : 1))
        for array in layout.arrays {
            #expect(array.array.active.count == 2)
            #expect(array.array.active.allSatisfy { $0.device.contains("p") })
        }
        #expect(layout.disks.allSatisfy { $0.volume.table != nil && $0.volume.content.type == nil })
    }

    private func digest(_ source: any BlockSource, _ folder: TemporaryFolder) throws -> String {
        try SourceContent.digest(source, folder)
    }
}

/// A source of 4096-byte sectors.
struct Sectored: SourceWrapper {
    let base: any BlockSource
    var logicalSectorSize: Int { 4096 }
    var physicalSectorSize: Int { 4096 }
    var filePlace: FilePlace? { base.filePlace }
}

/// The whole content of a source.
enum SourceContent {
    /// Returns SHA-256 in hexadecimal, as sha256sum has it.
    static func digest(_ source: any BlockSource, _ folder: TemporaryFolder) throws -> String {
        let path = folder.file("content")
        try Tool.output("rm", ["-f", path])
        let sink = try FileSink(creating: path)
        var offset: Int64 = 0
        let buffer = AlignedBuffer(count: 1 << 20)
        while offset < source.lengthInBytes {
            let piece = buffer.prefix(Int(min(1 << 20, source.lengthInBytes - offset)))
            try source.read(into: piece, at: offset)
            try sink.write(UnsafeRawBufferPointer(piece), at: offset)
            offset += Int64(piece.count)
        }
        try sink.close()
        return String(try Tool.output("sha256sum", [path]).prefix(64))
    }
}
