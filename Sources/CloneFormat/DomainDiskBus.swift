// SPDX-License-Identifier: GPL-3.0-or-later

/// How the domain attaches one disk.
struct DomainDiskBus: Sendable, Hashable {
    /// Kinds of controller that disks of a domain are spread over.
    enum Controller: CaseIterable, Sendable, Hashable {
        case ahci, virtioBlock, megasas, mptsas, virtioSCSI

        /// libvirt's word for the bus.
        var bus: String {
            switch self {
            case .ahci: return "sata"
            case .virtioBlock: return "virtio"
            case .megasas, .mptsas, .virtioSCSI: return "scsi"
            }
        }

        /// libvirt's model of a SCSI controller; nil where libvirt adds what is needed.
        var model: String? {
            switch self {
            case .ahci, .virtioBlock: return nil
            case .megasas: return "lsisas1078"
            case .mptsas: return "lsisas1068"
            case .virtioSCSI: return "virtio-scsi"
            }
        }

        /// Disks that are put on one SCSI controller; every model takes as many.
        static let unitsEach = 7

        /// Whether libvirt passes a world wide name on.
        var takesWorldWideName: Bool { self != .virtioBlock }
    }

    var controller: Controller
    /// Serial number in the characters and the length that libvirt takes.
    var serial: String?
    /// 16 hexadecimal digits.
    var worldWideName: String?

    init(record: DiskRecord, machine: Machine) {
        let disk = machine.disks.first { $0.name == record.source }
        let driver = machine.controllers.first { $0.pciAddress == disk?.controller }?.driver
        switch (disk?.transport, driver) {
        // Only a disk of virtio-scsi has a SCSI address.
        case ("virtio", _): controller = disk?.hctl == nil ? .virtioBlock : .virtioSCSI
        case (_, "megaraid_sas"): controller = .megasas
        case (_, "mptsas"): controller = .mptsas
        default: controller = record.logicalSectorSizeInBytes == 512 ? .ahci : .virtioSCSI
        }
        serial = disk?.serial.flatMap(Self.acceptable)
        worldWideName = disk?.wwn.flatMap(Self.digits)
    }

    /// Name of the `unit`th disk of this kind; kinds share letters, so that each has a range of its own.
    func deviceName(_ unit: Int) -> String {
        switch controller {
        case .virtioBlock: return "vd\(Self.letters(unit))"
        case .ahci: return "sd\(Self.letters(unit))"
        // libvirt takes a name only once: the SCSI kinds begin behind the 26 of AHCI, far from each other.
        case .megasas: return "sd\(Self.letters(26 + unit))"
        case .mptsas: return "sd\(Self.letters(26 * 10 + unit))"
        case .virtioSCSI: return "sd\(Self.letters(26 * 20 + unit))"
        }
    }

    /// Returns a number from 0 in the kernel's letters for disks, a to z, then aa.
    static func letters(_ number: Int) -> String {
        var rest = max(number, 0)
        var text = ""
        repeat {
            text = String(UnicodeScalar(UInt8(97 + rest % 26))) + text
            rest = rest / 26 - 1
        } while rest >= 0
        return text
    }

    /// libvirt's schema, diskSerial: letters, digits and a few signs; QEMU keeps 36 characters at most.
    private static func acceptable(_ serial: String) -> String? {
        let isFine = serial.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x20, 0x2b, 0x2d, 0x2e, 0x5f: return true
            default: return false
            }
        }
        return isFine && (1...36).contains(serial.utf8.count) ? serial : nil
    }

    private static func digits(_ name: String) -> String? {
        guard name.hasPrefix("0x"), name.utf8.count == 18, UInt64(name.dropFirst(2), radix: 16) != nil else {
            return nil
        }
        return String(name.dropFirst(2)).lowercased()
    }
}
