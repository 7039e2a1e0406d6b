// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import Probing
internal import TestSupport
internal import Testing

/// File systems found by label or UUID on real block devices, and files read from them without mounting.
@Suite(
    .enabled(if: LoopDevice.areAvailable, "loop devices need root"),
    .enabled(if: Tool.isInstalled("mkfs.vfat", "mcopy", "sfdisk"), "dosfstools, mtools or fdisk are not installed"))
struct VolumeSearchTests {
    @Test func aPartitionIsFoundAndRead() throws {
        let folder = try TemporaryFolder()
        let image = folder.file("stick.img")
        let label = "CC\(getpid())"
        try Tool.output("truncate", ["-s", "40M", image])
        try Tool.output("sh", ["-c", "echo 'start=2048, type=c' | sfdisk -q '\(image)'"])
        try Tool.output("mkfs.vfat", ["-n", label, "-i", "C01DC10E", "--offset", "2048", image, "39000"])
        let job = try SampleContent.write(Array("mode: auto\n".utf8), to: folder.file("job.yaml"))
        for command in [
            ["mmd", "-i", "\(image)@@1M", "::jobs"], ["mcopy", "-i", "\(image)@@1M", job, "::jobs/A1.yaml"],
        ] {
            try Tool.output(command[0], Array(command.dropFirst()))
        }
        let device = try LoopDevice(image, scanPartitions: true)
        let volume = try #require(VolumeSearch.volumes(named: label).first)
        #expect(volume.device == "\(device.path)p1" && volume.disk == device.path)
        #expect(volume.type == "vfat" && volume.label == label)
        #expect(VolumeSearch.volumes(named: "c01d-c10e", on: [device.path]) == [volume])
        #expect(VolumeSearch.volumes(named: label, on: ["/dev/none"]).isEmpty)
        #expect(VolumeSearch.volumes(named: "none-\(label)").isEmpty)
        #expect(try volume.content(of: "jobs/A1.yaml", limit: 100) == Array("mode: auto\n".utf8))
        #expect(try volume.content(of: "jobs/a2.yaml", limit: 100) == nil)
        #expect(throws: ProbeError.self) { try volume.content(of: "jobs/A1.yaml", limit: 3) }
        // The disk below is what must not be a source.
        let stack = try BlockStack()
        let source = try FileSource(device.path)
        #expect(
            try stack.objection(toWriting: volume.device, sources: [source])?.contains("lies on the source") == true)
        let other = try SampleContent.write([UInt8](repeating: 1, count: 1 << 20), to: folder.file("other.img"))
        #expect(try stack.objection(toWriting: volume.device, sources: [FileSource(other)]) == nil)
        #expect(try stack.objection(toWriting: volume.device, sources: [FileSource(image)]) != nil)
    }

    @Test func writingIsGrantedAndTakenBack() throws {
        let folder = try TemporaryFolder()
        let image = folder.file("disk.img")
        try Tool.output("truncate", ["-s", "1M", image])
        let device = try LoopDevice(image)
        #expect(try !DeviceAccess.set(readOnly: true, device.path))
        #expect(try DeviceAccess.set(readOnly: true, device.path))
        #expect(try Tool.output("blockdev", ["--getro", device.path]) == "1\n")
        #expect(try DeviceAccess.set(readOnly: false, device.path))
        #expect(try Tool.output("blockdev", ["--getro", device.path]) == "0\n")
        #expect(throws: BlockError.self) { try DeviceAccess.set(readOnly: true, image) }
    }
}
