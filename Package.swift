// swift-tools-version: 6.2
// SPDX-License-Identifier: GPL-3.0-or-later

import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")
let service: [Target.Dependency] = [
    .product(name: "HTTPTypes", package: "swift-http-types"),
    .product(name: "Hummingbird", package: "hummingbird"),
    .product(name: "HummingbirdCore", package: "hummingbird"),
    .product(name: "HummingbirdTLS", package: "hummingbird"),
    .product(name: "Logging", package: "swift-log"),
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOSSL", package: "swift-nio-ssl"),
    .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
]
let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")

/// A Swift room of design.md 3: its folder in Sources, and the rooms it may import.
func room(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestSupport"], swiftSettings: strict)
}

let package = Package(
    name: "coldclone",
    products: [
        .executable(name: "coldclone", targets: ["coldclone"]),
        .executable(name: "coldclone-receiver", targets: ["coldclone-receiver"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
        // The receiver's service only. Without its traits it wants neither Foundation nor a configuration framework.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // C headers and one-line shims.
        .target(name: "CLinux"),
        .target(
            name: "CParted",
            linkerSettings: [.linkedLibrary("parted"), .linkedLibrary("blkid"), .linkedLibrary("uuid")]),
        .systemLibrary(name: "CBlkid", pkgConfig: nil, providers: [.apt(["libblkid-dev", "uuid-dev"])]),
        // libiscsi.a reaches iSER through the libraries behind it; the order matters to a static link.
        .target(
            name: "CISCSI",
            linkerSettings: ["iscsi", "rdmacm", "ibverbs", "nl-route-3", "nl-3"].map { .linkedLibrary($0) }
                + [.unsafeFlags(["-Xlinker", "--wrap=iscsi_process_r2t"])]),
        // Without optimisation, what is there for its speed alone would hold up every test.
        .target(name: "CSHA256", cSettings: [.unsafeFlags(["-O2"])]),
        .systemLibrary(name: "CExt2fs", pkgConfig: nil, providers: [.apt(["libext2fs-dev"])]),
        .systemLibrary(name: "CNTFS", pkgConfig: nil, providers: [.apt(["ntfs-3g-dev"])]),
        .systemLibrary(name: "CDeflate", pkgConfig: nil, providers: [.apt(["libdeflate-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: nil, providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: nil, providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: nil, providers: [.apt(["libzstd-dev"])]),

        // Rooms, lowest first.
        room("BlockIO", ["CLinux", system]),
        room("CloneFormat", ["CSHA256", "CYAML", "CZlib", crypto]),
        room("DiskImage", ["BlockIO", "CDeflate", "CZstd"]),
        room("DiskLayout", ["BlockIO", "CBlkid", "CZlib", "FileSystems", system]),
        room("ISCSI", ["BlockIO", "CISCSI", system]),
        room("Probing", ["BlockIO", "CLinux", "CloneFormat", "DiskLayout", "FileSystems"]),
        room("FileSystems", ["BlockIO", "CExt2fs", "CNTFS", "CZlib", "CZstd"]),
        room("Verification", ["BlockIO", "CloneFormat", "DiskImage", crypto]),
        room(
            "Capture", ["BlockIO", "CloneFormat", "DiskImage", "DiskLayout", "FileSystems", "Verification", crypto]),
        room("Console", []),
        room("Receiver", ["BlockIO", "CloneFormat", "Verification", crypto, subprocess, system] + service),
        .executableTarget(
            name: "coldclone",
            dependencies: [
                "BlockIO", "CBlkid", "CDeflate", "CISCSI", "CLinux", "CParted", "CZlib", "CZstd", "Capture",
                "CloneFormat",
                "Console", "DiskImage", "DiskLayout", "ISCSI", "Probing", "Verification", arguments,
            ], swiftSettings: strict),
        .executableTarget(
            name: "coldclone-receiver",
            dependencies: [
                "BlockIO", "CloneFormat", "Console", "Receiver", "Verification", arguments,
            ], swiftSettings: strict),

        // Tests, one target a room.
        .target(
            name: "TestSupport", dependencies: ["BlockIO", "CloneFormat", subprocess, system],
            path: "Tests/TestSupport",
            swiftSettings: strict),
        tests("ArchitectureTests", []),
        tests("BlockIOTests", ["BlockIO", "CLinux", "DiskImage", system]),
        tests("CloneFormatTests", ["CSHA256", "CZlib", "CloneFormat"]),
        tests("DiskImageTests", ["BlockIO", "DiskImage", system]),
        tests("ProbingTests", ["BlockIO", "CLinux", "CloneFormat", "Probing", "FileSystems"]),
        tests("DiskLayoutTests", ["BlockIO", "DiskLayout", "FileSystems", system]),
        tests("ISCSITests", ["BlockIO", "ISCSI", system]),
        tests("FileSystemsTests", ["BlockIO", "FileSystems", system]),
        tests(
            "CaptureTests", ["BlockIO", "Capture", "CloneFormat", "DiskImage", "DiskLayout", "Verification", system]),
        tests("VerificationTests", ["BlockIO", "Capture", "CloneFormat", "DiskImage", "Verification", system]),
        tests("ConsoleTests", ["Console"]),
        tests("ReceiverTests", ["BlockIO", "Capture", "CloneFormat", "DiskImage", "Receiver", "Verification"]),
        tests("HostTests", []),
        tests("LabTests", ["BlockIO", "CloneFormat"]),
    ]
)

// Where nothing is done a million times, small is better than fast: the agent has to fit on slow virtual media.
for target in package.targets where ["Console", "DiskLayout", "Probing", "coldclone"].contains(target.name) {
    target.swiftSettings?.append(.unsafeFlags(["-Osize"], .when(configuration: .release)))
}

// Fuzz targets, for Tests/fuzz only: they need libFuzzer's main, and rooms that tell it which way their code went.
if Context.environment["COLDCLONE_FUZZ"] != nil {
    let sanitize = ["-sanitize=fuzzer,address"]
    func fuzzer(_ name: String, _ dependencies: [Target.Dependency], linking: [String] = []) -> Target {
        .executableTarget(
            name: name, dependencies: dependencies + ["CFuzzer"], path: "Tests/Fuzz/\(name)",
            swiftSettings: strict + [.unsafeFlags(sanitize + ["-parse-as-library"])],
            linkerSettings: [.unsafeFlags(sanitize + linking)])
    }
    let rooms: Set<String> = ["BlockIO", "CloneFormat", "DiskImage", "DiskLayout", "FileSystems", "ISCSI"]
    for target in package.targets where rooms.contains(target.name) {
        target.swiftSettings?.append(.unsafeFlags(sanitize))
    }
    package.targets += [
        .target(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
        .target(
            name: "FuzzSupport", dependencies: ["BlockIO"], path: "Tests/Fuzz/FuzzSupport",
            swiftSettings: strict + [.unsafeFlags(sanitize)]),
        fuzzer("ChunkFileFuzz", ["CZlib", "CloneFormat"]),
        fuzzer("DiskLayoutFuzz", ["BlockIO", "CZlib", "DiskLayout", "FuzzSupport"]),
        fuzzer("FileSystemFuzz", ["BlockIO", "FileSystems", "FuzzSupport"]),
        // The static library, as in the agent: only there --wrap reaches.
        fuzzer(
            "ISCSIFuzz", ["BlockIO", "ISCSI", "TestSupport"], linking: ["-Xlinker", "-l:libiscsi.a"]),
        fuzzer("ManifestFuzz", ["CloneFormat"]),
        fuzzer("Qcow2Fuzz", ["BlockIO", "DiskImage"]),
    ]
}
