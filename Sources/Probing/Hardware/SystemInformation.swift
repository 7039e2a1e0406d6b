// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// The machine as a whole: maker, processors, memory, firmware, management controller, licences.
struct SystemInformation {
    let sysroot: Sysroot

    /// Fills in all of it.
    func read(into machine: inout Machine) {
        machine.systemVendor = vendor()
        machine.cpu = processors()
        machine.memory.total = memoryTotal()
        machine.boot = boot()
        machine.licences = ["MSDM", "SLIC"].compactMap(licence)
        let table = smbios()
        machine.memory.physicalMb = table?.memoryInMiB
        machine.bmc =
            table?.managementControllers.map {
                ManagementController(interface: $0.interface, source: "SMBIOS type 38", ipmiVersion: $0.version)
            } ?? []
        if machine.bmc.isEmpty, !sysroot.names(in: "/sys/class/ipmi").isEmpty {
            machine.bmc = [ManagementController(interface: "unknown", source: "ipmi device")]
        }
    }

    /// Texts that firmware has where nobody wrote anything.
    private static let placeholders: Set = [
        "0", "00000000", "0123456789", "1234567890", "chassisserialnumber", "defaultstring", "empty", "filledbyo.e.m.",
        "invalid",
        "n/a", "na", "none", "notapplicable", "notavailable", "notspecified", "o.e.m.", "oem", "productname",
        "serialnumber", "systemmanufacturer", "systemproductname", "systemserialnumber", "tobefilledbyo.e.m.",
        "tobefilledbyo.e.m", "typeserialnumber", "undefined", "unknown", "xxxxxxx",
    ]

    /// Returns an SMBIOS text as sysfs class/dmi/id shows it; nil for placeholders.
    private func identity(_ name: String) -> String? {
        guard let text = sysroot.text("/sys/class/dmi/id/\(name)") else { return nil }
        return Self.isPlaceholder(text) ? nil : text
    }

    /// Tells whether firmware wrote `text` for want of an answer.
    static func isPlaceholder(_ text: String) -> Bool {
        let plain = text.lowercased().filter { !$0.isWhitespace }
        // Zeros, or the letter that an UUID of nothing is made of.
        return placeholders.contains(plain) || Set(plain.filter { $0 != "-" }).count <= 1
    }

    /// Serial number of the machine; nil where the firmware has none worth the name.
    var serialNumber: String? { identity("product_serial") }

    private func vendor() -> SystemVendor {
        var vendor = SystemVendor()
        vendor.productName = identity("product_name")
        vendor.serialNumber = serialNumber
        vendor.manufacturer = identity("sys_vendor")
        vendor.uuid = identity("product_uuid").map { $0.lowercased() }
        vendor.firmware.vendor = identity("bios_vendor")
        vendor.firmware.version = identity("bios_version")
        vendor.firmware.buildDate = identity("bios_date")
        // DSP0134, 7.4.1.
        let chassis: [Int64: String] = [
            1: "other", 3: "desktop", 4: "low-profile desktop", 6: "mini tower", 7: "tower", 9: "laptop",
            10: "notebook",
            13: "all in one", 17: "main server chassis", 23: "rack mount chassis", 25: "multi-system chassis",
            28: "blade", 29: "blade enclosure", 35: "mini PC", 36: "stick PC",
        ]
        vendor.chassis = sysroot.number("/sys/class/dmi/id/chassis_type").flatMap { chassis[$0] }
        return vendor
    }

    private func processors() -> Processors {
        var cpu = Processors()
        var sockets: Set<String> = []
        var cores: Set<String> = []
        var socket = "0"
        let text = sysroot.bytes("/proc/cpuinfo", limit: 16 << 20).map { String(decoding: $0, as: UTF8.self) } ?? ""
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1).map { part in
                String(part.drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
            }
            guard parts.count == 2 else { continue }
            switch parts[0] {
            case "processor": cpu.count += 1
            case "model name": cpu.modelName = cpu.modelName ?? parts[1]
            case "flags", "Features":
                if cpu.flags.isEmpty { cpu.flags = parts[1].split(separator: " ").map(String.init) }
            case "physical id":
                socket = parts[1]
                sockets.insert(socket)
            case "core id": cores.insert("\(socket)/\(parts[1])")
            default: break
            }
        }
        if cores.isEmpty {
            // Where cpuinfo has no topology, as on ARM, sysfs does.
            for number in 0..<min(cpu.count, 8192) {
                let folder = "/sys/devices/system/cpu/cpu\(number)/topology"
                guard let core = sysroot.text("\(folder)/core_id") else { continue }
                let socket = sysroot.text("\(folder)/physical_package_id") ?? "0"
                sockets.insert(socket)
                cores.insert("\(socket)/\(core)")
            }
        }
        cpu.socketCount = max(sockets.count, min(cpu.count, 1))
        cpu.coreCount = cores.isEmpty ? cpu.count : cores.count
        cpu.architecture = sysroot.text("/proc/sys/kernel/arch") ?? (cpu.flags.contains("lm") ? "x86_64" : nil)
        if let kilohertz = sysroot.number("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"), kilohertz > 0 {
            cpu.frequency = "\(kilohertz / 1000)"
        }
        // What changes from moment to moment, or says nothing new a hundred times over, is not recorded.
        if let canonical = sysroot.resolve("/proc/cpuinfo") {
            let kept = text.split(separator: "\n", omittingEmptySubsequences: false).filter { line in
                ["processor", "model name", "flags", "Features", "physical id", "core id"].contains {
                    line.hasPrefix($0) && !line.hasPrefix("processor ")
                }
            }
            sysroot.record(canonical, .file(Array(kept.joined(separator: "\n").utf8)))
        }
        return cpu
    }

    private func memoryTotal() -> Int64 {
        guard let content = sysroot.bytes("/proc/meminfo", limit: 64 << 10) else { return 0 }
        let text = String(decoding: content, as: UTF8.self)
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("MemTotal:") }) else { return 0 }
        if let canonical = sysroot.resolve("/proc/meminfo") {
            sysroot.record(canonical, .file(Array("\(line)\n".utf8)))
        }
        let kilobytes = Int64(line.split(separator: " ").dropFirst().first ?? "") ?? 0
        return kilobytes > 0 && kilobytes < 1 << 50 ? kilobytes << 10 : 0
    }

    private func boot() -> Boot {
        var boot = Boot()
        let isUEFI = sysroot.exists("/sys/firmware/efi")
        boot.currentBootMode = isUEFI ? "uefi" : sysroot.exists("/sys/class/dmi/id") ? "bios" : nil
        guard isUEFI else { return boot }
        // Four bytes of attributes, then the value: UEFI 3.3, SecureBoot of the global variables.
        let variable = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
        if let bytes = sysroot.bytes("/sys/firmware/efi/efivars/\(variable)", limit: 16), bytes.count == 5 {
            boot.secureBoot = bytes[4] == 1
        }
        return boot
    }

    /// Returns what an ACPI table's header says: OEM ID at 10, OEM table ID at 16; the key behind it is not even read.
    private func licence(_ signature: String) -> LicenceTable? {
        let path = "/sys/firmware/acpi/tables/\(signature)"
        guard let header = sysroot.bytes(path, limit: 36), header.count >= 24,
            header.starts(with: Array(signature.utf8))
        else { return nil }
        func text(_ range: Range<Int>) -> String? {
            let text = String(decoding: header[range].filter { $0 > 0x20 && $0 < 0x7f }, as: UTF8.self)
            return text.isEmpty ? nil : text
        }
        return LicenceTable(table: signature, oemId: text(10..<16), oemTableId: text(16..<24))
    }

    private func smbios() -> SMBIOSTable? {
        let path = "/sys/firmware/dmi/tables/DMI"
        guard let table = sysroot.bytes(path, limit: SMBIOSTable.limit) else { return nil }
        if let canonical = sysroot.resolve(path) { sysroot.record(canonical, .file(SMBIOSTable.reduced(table))) }
        return SMBIOSTable(table)
    }
}
