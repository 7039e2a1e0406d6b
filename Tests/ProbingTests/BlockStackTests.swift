// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import Glibc
internal import Probing
internal import TestSupport
internal import Testing

/// The safeguard that no source is a target, held against real devices and mounts.
@Suite(
    .enabled(
        if: LoopDevice.areAvailable && Mount.isPossible && Tool.isInstalled("mkfs.ext4", "sfdisk", "partx"),
        "needs root, loop devices, mkfs.ext4, sfdisk and partx"))
struct BlockStackTests {
    /// A disk with one ext4 file system, as a whole or in a partition, mounted.
    private struct Fixture {
        let folder: TemporaryFolder
        let file: String
        let device: LoopDevice
        let mount: Mount
        /// Where nothing of all this is.
        let elsewhere: String

        init(partitioned: Bool = false, options: [String] = []) throws {
            folder = try TemporaryFolder()
            elsewhere = try folder.folder("elsewhere")
            file = folder.file("disk")
            try Tool.output("truncate", ["-s", "16M", file])
            if partitioned {
                let script = "printf 'label: gpt\\nsize=4M\\nsize=8M\\n' | sfdisk --quiet \"$1\""
                try Tool.output("sh", ["-c", script, "sh", file])
            }
            device = try LoopDevice(file, scanPartitions: partitioned)
            let path = partitioned ? try Self.partition(2, of: device, folder) : device.path
            try Tool.output("mkfs.ext4", ["-q", "-F", path])
            mount = try Mount(options + [path], at: folder.folder("mount"), keeping: device, folder)
        }

        /// Returns a node for a partition, which no udev may have made here.
        static func partition(_ number: Int, of device: LoopDevice, _ folder: TemporaryFolder) throws -> String {
            let path = "\(device.path)p\(number)"
            if Folder.exists(path) { return path }
            let name = path.dropFirst("/dev/".count)
            let text = try SmallFile.text("/sys/class/block/\(name)/dev", limit: 100)
            let numbers = text.split { $0 == ":" || $0 == "\n" }
            let node = folder.file("node\(number)")
            try Tool.output("mknod", [node, "b"] + numbers.map(String.init))
            return node
        }

        func objection(_ source: String, _ target: String) throws -> String? {
            try BlockStack().objection(to: FileSource(source), targetFolder: target)
        }
    }

    @Test func refusesATargetOnTheSource() throws {
        let fixture = try Fixture()
        let path = fixture.device.path
        #expect(
            try fixture.objection(path, fixture.mount.folder)
                == "the target \(fixture.mount.folder) lies on the source \(path)")
        // However deep in it.
        let deep = "\(fixture.mount.folder)/clones"
        try Folder.create(deep)
        #expect(try fixture.objection(path, deep) == "the target \(deep) lies on the source \(path)")
    }

    @Test func refusesASourceThatIsMounted() throws {
        let fixture = try Fixture()
        #expect(
            try fixture.objection(fixture.device.path, fixture.elsewhere)
                == "the source \(fixture.device.path) is in use: mounted at \(fixture.mount.folder)")
    }

    @Test func allowsASourceThatIsMountedReadOnly() throws {
        let fixture = try Fixture(options: ["-o", "ro"])
        #expect(try fixture.objection(fixture.device.path, fixture.elsewhere) == nil)
        // It is no target for all that.
        #expect(try fixture.objection(fixture.device.path, fixture.mount.folder) != nil)
    }

    @Test func seesThroughAReadOnlyBind() throws {
        let fixture = try Fixture()
        let folder = try fixture.folder.folder("bind")
        let bind = try Mount(["--bind", fixture.mount.folder], at: folder, keeping: fixture.mount)
        try Tool.output("mount", ["-o", "remount,bind,ro", bind.folder])
        #expect(try fixture.objection(fixture.device.path, fixture.elsewhere)?.contains("is in use") == true)
        #expect(try fixture.objection(fixture.device.path, bind.folder)?.contains("lies on the source") == true)
    }

    @Test func knowsThePartitionsOfASource() throws {
        let fixture = try Fixture(partitioned: true)
        let path = fixture.device.path
        #expect(
            try fixture.objection(path, fixture.mount.folder)
                == "the target \(fixture.mount.folder) lies on the source \(path)")
        #expect(
            try fixture.objection(path, fixture.elsewhere)
                == "the source \(path) is in use: mounted at \(fixture.mount.folder)")
        let first = try Fixture.partition(1, of: fixture.device, fixture.folder)
        let second = try Fixture.partition(2, of: fixture.device, fixture.folder)
        #expect(try fixture.objection(second, fixture.mount.folder)?.contains("lies on the source") == true)
        // Another partition of the same disk is another source.
        #expect(try fixture.objection(first, fixture.mount.folder) == nil)
    }

    @Test func knowsTheFileBehindALoopDevice() throws {
        let fixture = try Fixture()
        #expect(
            try fixture.objection(fixture.file, fixture.mount.folder)
                == "the target \(fixture.mount.folder) lies on the source \(fixture.file)")
        #expect(
            try fixture.objection(fixture.file, fixture.elsewhere)
                == "the source \(fixture.file) is in use: mounted at \(fixture.mount.folder)")
        // By another name it is the same file.
        #expect(link(fixture.file, fixture.folder.file("other")) == 0)
        #expect(try fixture.objection(fixture.folder.file("other"), fixture.mount.folder) != nil)
    }

    @Test func hasNothingAgainstAnUnrelatedFile() throws {
        let fixture = try Fixture()
        let other = try SampleContent.write([UInt8](repeating: 1, count: 4096), to: fixture.folder.file("other"))
        #expect(try fixture.objection(other, fixture.elsewhere) == nil)
        #expect(try fixture.objection(other, fixture.mount.folder) == nil)
        let unmounted = try LoopDevice(other)
        #expect(try fixture.objection(unmounted.path, fixture.elsewhere) == nil)
    }

    @Test func aTargetThatIsMissingIsAnError() throws {
        let fixture = try Fixture()
        let error = #expect(throws: BlockError.self) { try fixture.objection(fixture.file, "/nowhere/at/all") }
        #expect(error?.isNotFound == true)
    }
}
