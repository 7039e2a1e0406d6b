// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import TestSupport
internal import Testing

/// Firmware RAID that mdadm made: what we read of it is what mdadm reads, field by field, and its data are what the
/// kernel saw.
@Suite(.enabled(if: UMLMachine.isAvailable && Tool.isInstalled("mdadm", "lvs"), "user-mode-linux is not installed"))
struct FirmwareRAIDOracleTests {
    @Test func readsEveryFieldThatMdadmReads() throws {
        var compared = 0
        for set in try StorageSet.all("firmware") {
            let found = try FirmwareFixture(set).layout().firmwareSets
            for (index, disk) in set.disks.enumerated() {
                let text = try #require(try set.text("\(disk).examine"))
                let export = try #require(try set.text("\(disk).export")).split(separator: "\n").map(String.init)
                var theirs = Array(FirmwareRAIDText.lines(text).dropFirst())
                let name = set.path(disk)
                if let metadata = found.compactMap({ $0.imsm[name] }).first {
                    // Of large sectors mdadm prints the checksum of what it has made of the metadata.
                    if metadata.sectorSize > 512, let place = theirs.firstIndex(where: { $0.hasPrefix("Checksum") }) {
                        #expect(theirs[place].hasSuffix(" correct"))
                        theirs[place] = "Checksum : \(FirmwareRAIDText.hex(metadata.checksum)) correct"
                    }
                    let ours = FirmwareRAIDText.lines(metadata, serial: "/dev/loop\(index)")
                    #expect(ours == theirs, "\(name)")
                    #expect(FirmwareRAIDText.export(metadata) == export, "\(name)")
                    #expect(metadata.isComplete)
                } else {
                    let metadata = try #require(found.compactMap { $0.ddf[name] }.first, "\(name)")
                    #expect(FirmwareRAIDText.lines(metadata, device: "/dev/loop\(index)") == theirs, "\(name)")
                    #expect(FirmwareRAIDText.export(metadata) == export, "\(name)")
                    #expect(metadata.damage.isEmpty && metadata.primary != nil)
                }
                compared += theirs.count
            }
        }
        #expect(compared > 2000, "\(compared) lines")
    }

    /// The UUIDs by which mdadm.conf names containers and volumes.
    @Test func derivesTheSameUUIDs() throws {
        for set in try StorageSet.all("firmware") {
            let text = try #require(try set.text("container.brief"))
            let found = try FirmwareFixture(set).layout().firmwareSets
            let theirs = text.matches(of: /UUID=([0-9a-f:]{35})/).map { String($0.1) }.filter { !$0.hasPrefix("0000") }
            let ours = found.flatMap { [$0.uuid] + $0.volumes.map(\.uuid) }.compactMap { $0?.description }
            #expect(Set(theirs) == Set(ours) && !ours.isEmpty, "\(set.name)")
        }
    }

    /// The content of every volume, read by us from its members, has the digest that the kernel's own reading had.
    @Test func readsTheDataOfEveryVolume() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        var volumes = 0
        for set in try StorageSet.all("firmware") {
            let layout = try FirmwareFixture(set).layout()
            #expect(layout.firmwareContents.count == set.digests.count, "\(set.name)")
            for item in layout.firmwareContents {
                let volume = layout.firmwareSets[item.set].volumes[item.number]
                let digest = try #require(set.digests[volume.name], "\(set.name)/\(volume.name)")
                #expect(
                    try SourceContent.digest(item.volume.source, folder) == digest, "\(set.name)/\(volume.name)")
                #expect(item.volume.content.type == "ext4", "\(set.name)/\(volume.name)")
                volumes += 1
            }
        }
        #expect(volumes >= 25)
    }

    /// One member less: parity or a copy makes up for it, and where none does, nothing is read.
    @Test(arguments: [
        "imsm", "imsm-raid5", "imsm-raid10", "imsm-four", "ddf", "ddf-stripes", "ddf-parities", "ddf-more",
    ])
    func readsWithoutOneMember(name: String) throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let set = try StorageSet.named("firmware", name)
        var (whole, degraded, incomplete) = (0, 0, 0)
        for missing in set.disks.indices {
            let layout = try FirmwareFixture(set).layout(without: [missing])
            let found = try #require(layout.firmwareSets.first)
            for (number, volume) in found.volumes.enumerated() {
                let item = layout.firmwareContents.first { $0.number == number }
                switch volume.state {
                case .complete: whole += 1
                case .degraded: degraded += 1
                case .incomplete: incomplete += 1
                case nil: Issue.record("\(volume.name): nothing is known")
                }
                guard let item else {
                    #expect(volume.state == .incomplete && ["raid0"].contains(volume.level), "\(volume.name)")
                    continue
                }
                #expect(volume.missing.count == (volume.state == .complete ? 0 : 1))
                #expect(
                    try SourceContent.digest(item.volume.source, folder) == set.digests[volume.name],
                    "\(volume.name) without \(missing)")
            }
        }
        #expect(degraded > 0 && whole + degraded + incomplete == set.disks.count * set.digests.count)
    }

    /// What the firmware knows to be lost on one member is read from another.
    @Test func keepsFromWhatIsLost() throws {
        let folder = try TemporaryFolder(in: "/var/tmp")
        let fixture = FirmwareFixture(try StorageSet.named("firmware", "imsm-matrix"))
        var damaged = try fixture.layout()
        let volume = try #require(damaged.firmwareSets.first?.volumes.last)
        let member = try #require(volume.members.first)
        #expect(member.lost.map(\.count) == [4096] && volume.members.last?.lost.isEmpty == true)
        #expect(damaged.firmwareSets.first?.problems.count == 1)
        let disks = try fixture.set.disks.map { disk -> String in
            let path = folder.file(disk)
            try Tool.output("cp", ["--sparse=always", fixture.set.path(disk), path])
            if fixture.set.path(disk) == member.device, let place = member.lost.first?.lowerBound {
                try FileDamage.flip(path, at: place + 100)
            }
            return path
        }
        let serials = disks.enumerated().map { ($0.element, "/dev/loop\($0.offset)") }
        damaged = try StorageLayout.read(
            disks.map { try FileSource($0) }, serials: Dictionary(uniqueKeysWithValues: serials))
        let content = try #require(damaged.firmwareContents.last?.volume.source)
        #expect(try SourceContent.digest(content, folder) == fixture.set.digests["safe"])
    }

    @Test func tellsOfTroubles() throws {
        func set(_ name: String) throws -> FirmwareSet {
            try #require(try FirmwareFixture(StorageSet.named("firmware", name)).layout().firmwareSets.first)
        }
        for format in ["imsm", "ddf"] {
            let failed = try set("\(format)-failed")
            let volume = try #require(failed.volumes.first)
            #expect(volume.state == .degraded && volume.missing.count == 1)
            #expect(volume.recordedState.lowercased().hasPrefix("degraded"))
            #expect(failed.disks.contains { $0.state.lowercased().contains("failed") })
            let dirty = try #require(try set("\(format)-dirty").volumes.first)
            #expect(dirty.state == .complete && !dirty.isConsistent)
            let rebuild = try #require(try set("\(format)-rebuild").volumes.first)
            #expect(rebuild.state == .degraded && rebuild.members.filter { !$0.isInSync }.count == 1)
            #expect(rebuild.members.allSatisfy { $0.device != nil }, "what is being filled is here")
        }
    }
}

/// Disks of a set as sources, with the serial numbers that mdadm was told.
struct FirmwareFixture {
    let set: StorageSet

    init(_ set: StorageSet) { self.set = set }

    func source(_ disk: String) throws -> any BlockSource {
        let file = try FileSource(set.path(disk))
        return set.name.hasSuffix("-4k") ? Sectored(base: file) : file
    }

    func layout(without missing: Set<Int> = [], withSerials: Bool = true) throws -> StorageLayout {
        let names = set.disks.enumerated().filter { !missing.contains($0.offset) }
        let serials = names.map { (set.path($0.element), "/dev/loop\($0.offset)") }
        return try StorageLayout.read(
            names.map { try source($0.element) },
            serials: withSerials ? Dictionary(uniqueKeysWithValues: serials) : [:])
    }
}
