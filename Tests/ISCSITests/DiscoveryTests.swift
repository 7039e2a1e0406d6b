// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import ISCSI
internal import TestSupport
internal import Testing

/// Logins and questions, put to a real target daemon.
@Suite(.enabled(if: ISCSIServer.isAvailable, "needs tgtd, and root"))
struct DiscoveryTests {
    static let name = "iqn.2026-11.org.example:disk"
    static let initiator = "iqn.1994-05.org.example:source-machine"

    private func portal(_ server: ISCSIServer) throws -> ISCSIPortal { try #require(ISCSIPortal(server.portal)) }
    private func target(_ name: String = name) throws -> ISCSIName { try #require(ISCSIName(name)) }
    private func options(
        initiator: String = initiator, _ credentials: CHAPCredentials? = nil
    ) throws -> ISCSIOptions {
        ISCSIOptions(initiator: try #require(ISCSIName(initiator)), credentials: credentials, timeout: 60)
    }
    private func account(_ user: String, _ password: String) -> CHAPCredentials.Account {
        .init(user: user, password: Secret(password))
    }

    /// Two targets, the first with a disk of 512 and one of 4096 bytes a block.
    private func server(_ folder: TemporaryFolder) throws -> ISCSIServer {
        let server = try ISCSIServer()
        try server.addTarget(1, Self.name)
        for (lun, size) in [(1, 512), (7, 4096)] {
            let file = try SampleContent.write([UInt8](repeating: 7, count: 1 << 20), to: folder.file("\(lun)"))
            try server.addUnit(1, lun, file, blockSize: size, ["scsi_sn=SERIAL\(lun)", "product_id=Volume\(lun)"])
        }
        try server.addTarget(2, "\(Self.name)2")
        return server
    }

    @Test func listsTargetsAndUnits() throws {
        let folder = try TemporaryFolder()
        let server = try server(folder)
        let targets = try ISCSIDiscovery.sendTargets(portal(server), options())
        #expect(Set(targets.map(\.name.description)) == [Self.name, "\(Self.name)2"])
        #expect(try targets.allSatisfy { try $0.portals == [portal(server)] })

        let units = try ISCSIDiscovery.logicalUnits(of: target(), at: portal(server), options())
        #expect(units.map(\.lun.rawValue) == [0, 1, 7])
        // tgtd puts a controller at number 0.
        #expect(units.map(\.isDisk) == [false, true, true])
        let disk = try #require(units.last)
        #expect(disk.product == "Volume7" && disk.vendor == "IET" && disk.identity.serial == "SERIAL7")
        #expect(disk.capacity?.lengthInBytes == 1 << 20 && disk.capacity?.blockSize == 4096)
        #expect(units[1].capacity?.blockSize == 512)
        let wwid = try #require(disk.identity.wwid)
        #expect(wwid.hasPrefix("naa.") || wwid.hasPrefix("eui.") || wwid.hasPrefix("t10."))
        #expect(disk.identity != units[1].identity)
        // Nobody's name: every tgtd gives its first unit the same.
        #expect(!disk.identity.isUniqueInTheWorld)
        #expect(disk.identity.isAmong(["other", wwid]) && !disk.identity.isAmong(["other"]))
    }

    @Test func admitsOnlyTheNameInTheAccessList() throws {
        let folder = try TemporaryFolder()
        let server = try ISCSIServer()
        try server.addTarget(1, Self.name, admitting: Self.initiator)
        try server.addUnit(1, 1, SampleContent.write([UInt8](repeating: 1, count: 4096), to: folder.file("disk")))
        #expect(try ISCSIDiscovery.logicalUnits(of: target(), at: portal(server), options()).count == 2)
        let error = #expect(throws: ISCSIError.self) {
            try ISCSIDiscovery.logicalUnits(
                of: target(), at: portal(server), options(initiator: "iqn.1994-05.org.example:other"))
        }
        #expect(error?.cause == .refused(.targetNotFound))
        #expect(error?.hint?.contains("--initiator-name") == true)
        #expect(error?.description.contains("\(Self.name) at \(server.portal)") == true)
    }

    @Test func namesATargetThatIsNot() throws {
        let server = try ISCSIServer()
        try server.addTarget(1, "\(Self.name)2")
        let error = #expect(throws: ISCSIError.self) {
            try ISCSIDiscovery.logicalUnits(of: target(), at: portal(server), options())
        }
        #expect(error?.cause == .refused(.targetNotFound))
    }

    @Test func provesItselfByCHAP() throws {
        let server = try ISCSIServer()
        try server.addTarget(1, Self.name)
        try server.addAccount(1, "alice", "opensesame12")
        func units(_ credentials: CHAPCredentials?) throws -> [LogicalUnit] {
            try ISCSIDiscovery.logicalUnits(of: target(), at: portal(server), options(credentials))
        }
        #expect(try units(CHAPCredentials(initiator: account("alice", "opensesame12"))).count == 1)
        for wrong in [
            nil, try CHAPCredentials(initiator: account("alice", "wrongsecret99")),
            try CHAPCredentials(initiator: account("bob", "opensesame12")),
        ] {
            let error = #expect(throws: ISCSIError.self) { try units(wrong) }
            #expect(error?.cause == .refused(.authenticationFailure), "\(String(describing: error))")
            let told = String(reflecting: error) + (error?.description ?? "") + (error?.hint ?? "")
            for secret in ["opensesame12", "wrongsecret99"] { #expect(!told.contains(secret)) }
        }
    }

    @Test func asksTheTargetForItsProof() throws {
        let server = try ISCSIServer()
        try server.addTarget(1, Self.name)
        try server.addAccount(1, "alice", "opensesame12")
        func units(_ user: String, _ password: String) throws -> [LogicalUnit] {
            let credentials = try CHAPCredentials(
                initiator: account("alice", "opensesame12"), target: account(user, password))
            return try ISCSIDiscovery.logicalUnits(of: target(), at: portal(server), options(credentials))
        }
        // A target that has no proof, then one that has.
        #expect(throws: ISCSIError.self) { try units("storage", "targetsecret1") }
        try server.addAccount(1, "storage", "targetsecret1", outgoing: true)
        #expect(try units("storage", "targetsecret1").count == 1)
        for (user, password) in [("storage", "othersecret11"), ("imposter", "targetsecret1")] {
            let error = #expect(throws: ISCSIError.self) { try units(user, password) }
            if case .notAuthenticated = error?.cause {} else { Issue.record("\(String(describing: error))") }
            #expect(error?.description.contains(password) == false)
        }
    }

    /// A target without CHAP must not get away with it when it was to prove itself.
    @Test func refusesATargetThatDoesWithoutCHAP() throws {
        let server = try ISCSIServer()
        try server.addTarget(1, Self.name)
        let credentials = try CHAPCredentials(
            initiator: account("alice", "opensesame12"), target: account("storage", "targetsecret1"))
        let error = #expect(throws: ISCSIError.self) {
            try ISCSIDiscovery.logicalUnits(of: target(), at: portal(server), options(credentials))
        }
        if case .notAuthenticated = error?.cause {} else { Issue.record("\(String(describing: error))") }
    }

    @Test func saysThatNobodyListens() throws {
        let portal = ISCSIPortal(host: "127.0.0.1", port: try Loopback.freePort())
        let error = #expect(throws: ISCSIError.self) { try ISCSIDiscovery.sendTargets(portal, options()) }
        #expect(error?.description == "cannot connect to \(portal): Connection refused")
        #expect(error?.hint != nil)
    }

    @Test func saysThatANameDoesNotResolve() throws {
        let portal = ISCSIPortal(host: "no-such-host.invalid")
        let error = #expect(throws: ISCSIError.self) { try ISCSIDiscovery.sendTargets(portal, options()) }
        if case .unresolved = error?.cause {} else { Issue.record("\(String(describing: error))") }
        #expect(error?.hint?.contains("address") == true)
    }
}
