// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Glibc

/// Asks drives for their health by smartctl(8), where that is installed; in a recording, what was answered.
struct DriveHealthReader {
    let sysroot: Sysroot
    /// Seconds that a drive may take: one that hangs must not hang the probe.
    private static let timeLimit = 10

    /// smartctl's answer, the keys that matter: smartctl(8), --json.
    private struct Answer: Decodable {
        struct Status: Decodable { var passed: Bool? }
        struct Hours: Decodable { var hours: Int64? }
        struct Degrees: Decodable { var current: Int? }
        struct NVMe: Decodable { var percentageUsed: Int? }
        struct Attributes: Decodable {
            struct Attribute: Decodable {
                struct Raw: Decodable { var value: Int64 }
                var id: Int
                var raw: Raw
            }
            var table: [Attribute]?
        }
        var smartStatus: Status?
        var powerOnTime: Hours?
        var temperature: Degrees?
        var nvmeSmartHealthInformationLog: NVMe?
        var ataSmartAttributes: Attributes?
    }

    /// Returns the health of `disk`; nil when nobody can tell.
    func health(of disk: Disk) -> DriveHealth? {
        guard !["optical", "virtual", "lun", "multipath", "md", "card"].contains(disk.kind), let path = disk.path else {
            return nil
        }
        let file = "/run/coldclone/smart/\(path).json"
        if sysroot.isLive {
            guard let answer = ask(disk.name) else { return nil }
            sysroot.record(file, .file(Self.withoutIdentity(answer)))
            return Self.decode(answer)
        }
        return sysroot.bytes(file, limit: 1 << 20).flatMap(Self.decode)
    }

    /// Runs smartctl, which only reads, and leaves drives asleep that are.
    private func ask(_ device: String) -> [UInt8]? {
        guard
            let program = ["/usr/sbin/smartctl", "/sbin/smartctl"].first(where: { (path: String) in
                access(path, X_OK) == 0
            })
        else {
            return nil
        }
        return HelperProgram.output(
            program, ["--json", "--health", "--attributes", "--nocheck=standby", device], secondsAtMost: Self.timeLimit)
    }

    static func decode(_ answer: [UInt8]) -> DriveHealth? {
        guard let answer: Answer = try? JSONText.decode(answer, file: "smartctl") else { return nil }
        var health = DriveHealth()
        health.passed = answer.smartStatus?.passed
        health.powerOnHours = answer.powerOnTime?.hours
        health.temperature = answer.temperature?.current
        health.percentageUsed = answer.nvmeSmartHealthInformationLog?.percentageUsed
        // ATA: 5 reallocated sectors, 197 current pending sectors.
        for attribute in answer.ataSmartAttributes?.table ?? [] {
            if attribute.id == 5 { health.reallocatedSectors = attribute.raw.value }
            if attribute.id == 197 { health.pendingSectors = attribute.raw.value }
        }
        return health == DriveHealth() ? nil : health
    }

    /// Returns an answer with nothing but what `decode` takes from it: no serial number.
    private static func withoutIdentity(_ answer: [UInt8]) -> [UInt8] {
        guard let health = decode(answer) else { return Array("{}".utf8) }
        var parts: [String] = []
        if let passed = health.passed { parts.append("\"smart_status\":{\"passed\":\(passed)}") }
        if let hours = health.powerOnHours { parts.append("\"power_on_time\":{\"hours\":\(hours)}") }
        if let degrees = health.temperature { parts.append("\"temperature\":{\"current\":\(degrees)}") }
        if let used = health.percentageUsed {
            parts.append("\"nvme_smart_health_information_log\":{\"percentage_used\":\(used)}")
        }
        let attributes = [(5, health.reallocatedSectors), (197, health.pendingSectors)].compactMap { id, value in
            value.map { "{\"id\":\(id),\"raw\":{\"value\":\($0)}}" }
        }
        if !attributes.isEmpty {
            parts.append("\"ata_smart_attributes\":{\"table\":[\(attributes.joined(separator: ","))]}")
        }
        return Array("{\(parts.joined(separator: ","))}".utf8)
    }
}
