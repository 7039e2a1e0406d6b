// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import DiskLayout
internal import TestSupport
internal import Testing

/// Physical volumes that are damaged: less is found, nothing traps.
@Suite(.enabled(if: UMLMachine.isAvailable && Tool.isInstalled("mdadm", "lvs"), "user-mode-linux is not installed"))
struct LVMDamageTests {
    /// The label and metadata of a real physical volume: its first MiB.
    private func disk() throws -> (TestDisk, FileSource) {
        let set = try StorageSet.named("lvm", "metadata")
        let file = try FileSource(set.path("disk1"))
        return (TestDisk(length: file.lengthInBytes, [(0, try file.bytes(at: 0, count: 1 << 20))]), file)
    }

    @Test func aChecksumTellsOfEveryFlippedByte() throws {
        let (disk, file) = try disk()
        #expect(try StorageLayout.read([disk]).groups.first?.group.name == "copies")
        // Label and header, the area's header, and some of the text: whatever was flipped, the text is no longer taken.
        let label = try file.bytes(at: 512, count: 512)
        for offset in 0..<512 where label[offset] != 0 {
            let layout = try StorageLayout.read([disk.with([label[offset] ^ 0x10], at: Int64(512 + offset))])
            let group = layout.groups.first?.group
            #expect(
                group == nil || group?.physicalVolumes.contains { $0.device == nil } == true
                    || !(group?.findings.isEmpty ?? true))
        }
        let area = try file.bytes(at: 4096, count: 512)
        for offset in 0..<512 where area[offset] != 0 {
            let layout = try StorageLayout.read([disk.with([area[offset] ^ 0x10], at: Int64(4096 + offset))])
            #expect(layout.groups.isEmpty, "byte \(offset)")
        }
    }

    @Test func survivesTruncation() throws {
        let (disk, _) = try disk()
        for length in 0..<32 << 10 {
            _ = try? StorageLayout.read([disk.resized(to: Int64(length))])
        }
    }

    @Test func survivesRandomDamage() throws {
        let (disk, file) = try disk()
        var generator = SeededGenerator(seed: 5)
        let used = try file.bytes(at: 0, count: 32 << 10)
        let places = used.indices.filter { used[$0] != 0 }
        for _ in 0..<300 {
            var damaged = disk
            for _ in 0..<4 {
                let place = try #require(places.randomElement(using: &generator))
                damaged = damaged.with([UInt8.random(in: 0...255, using: &generator)], at: Int64(place))
            }
            _ = try? StorageLayout.read([damaged])
        }
    }
}
