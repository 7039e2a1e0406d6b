// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import TestSupport
internal import Testing

/// The disks that User Mode Linux makes are what their names say: other tests build on them.
@Suite(.enabled(if: UMLMachine.isAvailable && Tool.isInstalled("mdadm", "lvs"), "user-mode-linux is not installed"))
struct StorageFixtureTests {
    @Test func everySetHasDisksAndDigests() throws {
        for (kind, count) in [("md", 30), ("firmware", 3), ("lvm", 3)] as [(String, Int)] {
            let sets = try StorageSet.all(kind)
            #expect(sets.count >= count)
            for set in sets {
                #expect(set.disks.count >= 2, "\(set.folder)")
                #expect(!set.digests.isEmpty, "\(set.folder)")
                #expect(set.digests.values.allSatisfy { $0.count == 64 }, "\(set.folder)")
            }
        }
    }

    /// Metadata version 1.0 lies behind the content: the member begins with what the array holds.
    @Test func aMirrorHoldsWhatItsDigestSays() throws {
        let set = try StorageSet.named("md", "raid1-1.0")
        let detail = try #require(try set.text("array.detail"))
        let size = try #require(detail.split(separator: "\n").first { $0.contains("Array Size") })
        let kibibytes = try #require(size.split(separator: " ").compactMap { Int($0) }.first)
        for disk in set.disks {
            let sum = try Tool.output("sh", ["-c", "head -c \(kibibytes)K \(set.path(disk)) | sha256sum"])
            #expect(sum.hasPrefix(set.digests["array"] ?? "none"))
        }
    }

    /// The saved text is of this disk as it is now: mdadm reads a file as well as a device.
    @Test func theOracleOutputIsOfTheseDisks() throws {
        let set = try StorageSet.named("md", "raid5-stale-1.2")
        for disk in set.disks {
            let saved = try #require(try set.text("\(disk).examine")).split(separator: "\n").dropFirst()
            let now = try Tool.run("mdadm", ["--examine", set.path(disk)], environment: ["TZ=UTC"])
            #expect(now.output.split(separator: "\n").dropFirst() == saved)
        }
    }

    @Test func aFailedMemberStaysBehind() throws {
        let set = try StorageSet.named("md", "raid5-stale-1.2")
        let events = try set.disks.map { disk in
            let text = try #require(try set.text("\(disk).examine"))
            let line = try #require(text.split(separator: "\n").first { $0.contains("Events : ") })
            return try #require(Int(line.split(separator: " ").last ?? ""))
        }
        #expect(events.count == 3)
        #expect(events[0] == events[1])
        #expect(events[2] < events[0])
    }
}
