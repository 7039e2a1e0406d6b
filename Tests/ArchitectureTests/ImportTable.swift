// SPDX-License-Identifier: GPL-3.0-or-later

/// Which module may import which: the table of design.md 3, and the packages each room may use.
///
/// The package manager alone lets an undeclared import of a built sibling through, and says nothing at all about a
/// dependency that somebody adds to the manifest for convenience.
struct ImportTable {
    /// Rooms of C headers and shims: they hold no Swift.
    var cRooms: Set<String>
    /// For each Swift room, the rooms and packages that it may import; nothing else.
    var mayImport: [String: Set<String>]
    /// For each room, what it must never reach, not even through another room.
    ///
    /// This stands beside `mayImport` so that a line added there in a hurry does not go unnoticed.
    var neverReaches: [String: Set<String>]
    /// What every room may import: modules of the language itself.
    var language: Set<String> = ["Swift", "Synchronization"]

    static let coldclone = ImportTable(
        cRooms: [
            "CBlkid", "CDeflate", "CExt2fs", "CISCSI", "CLinux", "CNTFS", "CParted", "CSHA256", "CYAML", "CZlib",
            "CZstd",
        ],
        mayImport: [
            "BlockIO": ["CLinux", "Glibc", "SystemPackage"],
            // CSHA256 digests two chunks in little more time than Crypto takes for one; Crypto does all the rest.
            "CloneFormat": ["CSHA256", "CYAML", "CZlib", "Crypto", "FoundationEssentials"],
            "DiskImage": ["BlockIO", "CDeflate", "CZstd", "Glibc"],
            "DiskLayout": ["BlockIO", "CBlkid", "CZlib", "FileSystems", "Glibc", "SystemPackage"],
            "ISCSI": ["BlockIO", "CISCSI", "Glibc", "SystemPackage"],
            "Probing": ["BlockIO", "CLinux", "CloneFormat", "DiskLayout", "Glibc", "SystemPackage", "FileSystems"],
            "Capture": [
                "BlockIO", "CloneFormat", "Crypto", "DiskImage", "DiskLayout", "FileSystems", "Glibc", "Verification",
            ],
            "FileSystems": ["BlockIO", "CExt2fs", "CNTFS", "CZlib", "CZstd", "Glibc"],
            "Verification": ["BlockIO", "CloneFormat", "Crypto", "DiskImage", "Glibc"],
            "Console": ["Glibc"],
            "Receiver": [
                "BlockIO", "CloneFormat", "Crypto", "DiskImage", "Dispatch", "FoundationEssentials", "Glibc",
                "HTTPTypes",
                "Hummingbird", "HummingbirdCore", "HummingbirdTLS", "Logging", "NIOCore", "NIOSSL", "ServiceLifecycle",
                "Subprocess",
                "SystemPackage", "Verification",
            ],
            "coldclone": [
                "ArgumentParser", "BlockIO", "CBlkid", "CDeflate", "CISCSI", "CLinux", "CParted", "CZlib", "CZstd",
                "Capture", "CloneFormat", "Console", "DiskImage", "DiskLayout", "FoundationEssentials", "Glibc",
                "ISCSI",
                "Probing",
                "SystemPackage", "Verification",
            ],
            "coldclone-receiver": [
                "ArgumentParser", "BlockIO", "CloneFormat", "Console", "DiskImage", "FoundationEssentials", "Glibc",
                "Receiver", "SystemPackage", "Verification",
            ],
        ],
        neverReaches: [
            "BlockIO": [
                "Capture", "CloneFormat", "Console", "Crypto", "DiskImage", "Probing", "Receiver", "Verification",
            ],
            "CloneFormat": [
                "BlockIO", "Capture", "Console", "DiskImage", "Glibc", "Probing", "Receiver", "SystemPackage",
                "Verification",
            ],
            "DiskImage": ["CloneFormat", "Crypto", "Probing", "Receiver", "Subprocess"],
            "DiskLayout": ["Capture", "CloneFormat", "Console", "DiskImage", "Probing", "Receiver"],
            "ISCSI": ["Capture", "CloneFormat", "Console", "DiskImage", "DiskLayout", "Probing", "Receiver"],
            "FileSystems": ["Capture", "CloneFormat", "Console", "DiskImage", "Probing", "Receiver"],
            "Probing": ["Capture", "DiskImage"],
            "Capture": ["Console", "Probing", "Receiver"],
            "Verification": ["Capture", "Console", "Probing", "Receiver"],
            "Console": [
                "BlockIO", "Capture", "CloneFormat", "DiskImage", "Probing", "Receiver", "Verification",
            ],
            "Receiver": ["Capture", "Console", "Probing"],
            "coldclone": ["Receiver", "coldclone-receiver"],
            "coldclone-receiver": ["Capture", "Probing", "coldclone"],
        ])

    /// All rooms, of C and of Swift.
    var rooms: Set<String> { cRooms.union(mayImport.keys) }

    /// Tells whether files of `room` may import `module`.
    func allows(_ module: String, in room: String) -> Bool {
        language.contains(module) || mayImport[room]?.contains(module) == true
    }

    /// Returns everything that `room` may reach through imports, itself included only when it stands in a cycle.
    func reach(of room: String) -> Set<String> {
        var reached: Set<String> = []
        var waiting = mayImport[room] ?? []
        while let next = waiting.popFirst() {
            reached.insert(next)
            waiting.formUnion((mayImport[next] ?? []).subtracting(reached))
        }
        return reached
    }
}
