// SPDX-License-Identifier: GPL-3.0-or-later

public import CloneFormat

/// The wire between this machine and a disk or a server, and what it can carry in theory.
public struct TransferLink: Sendable, Hashable, Encodable {
    /// `usb`, `sata`, `e-sata`, `sas`, `nvme`, `fc`, `iscsi`, `nfs`, `cifs` and others of `Disk.transport`.
    public var transport: String
    /// The device or network interface it goes by: `/dev/sdb`, `eno1`.
    public var device: String?
    /// The negotiated rate as people write it: `480 Mbit/s`, `PCIe 8.0 GT/s x4`.
    public var rate: String?
    /// Bits a second on the line, all coding included; nil where the rate is unknown.
    public var bitsPerSecond: Int64?
    /// Address of the server, of a network file system.
    public var server: String?

    /// Makes a link of which nothing else is known.
    public init(transport: String, device: String? = nil) {
        self.transport = transport
        self.device = device
    }

    /// The line's rate in the table's megabytes a second: an eighth of its megabits, 1024 of which are a gigabit.
    ///
    /// So USB 2.0 has 60, 1000BASE-T 128, SATA at 3 Gbit/s 384 and USB 3.0 640.
    public var theoreticalMegabytesPerSecond: Double? {
        guard let bitsPerSecond else { return nil }
        let megabits = Double(bitsPerSecond) / 1e6
        return (megabits >= 1000 ? megabits / 1000 * 1024 : megabits) / 8
    }

    private enum CodingKeys: String, CodingKey {
        case transport, device, rate, bitsPerSecond, server, theoreticalMegabytesPerSecond
    }

    /// Writes all values, what the line carries in theory among them.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(transport, forKey: .transport)
        try container.encodeIfPresent(device, forKey: .device)
        try container.encodeIfPresent(rate, forKey: .rate)
        try container.encodeIfPresent(bitsPerSecond, forKey: .bitsPerSecond)
        try container.encodeIfPresent(server, forKey: .server)
        try container.encodeIfPresent(theoreticalMegabytesPerSecond, forKey: .theoreticalMegabytesPerSecond)
    }

    /// The link of `disk`, as the inventory has it.
    public init(of disk: Disk) {
        // The kernel calls a SATA disk on a port that is led outside removable: Linux drivers/ata/libata-scsi.c.
        transport = disk.transport == "sata" && disk.removable ? "e-sata" : disk.transport ?? "unknown"
        device = disk.name
        rate = disk.link
        bitsPerSecond = disk.link.flatMap(Self.bitsPerSecond)
    }

    /// Reads a rate as `DiskLink` writes it: `480 Mbit/s`, `12.0 Gbit/s x2`, `PCIe 8.0 GT/s x4`.
    static func bitsPerSecond(_ rate: String) -> Int64? {
        var words = rate.split(separator: " ")
        if words.first == "PCIe" { words.removeFirst() }
        guard words.count == 2 || words.count == 3, let number = Double(words[0]), number > 0, number < 1e6 else {
            return nil
        }
        let unit: Double
        switch words[1] {
        case "Mbit/s": unit = 1e6
        case "Gbit/s", "GT/s": unit = 1e9
        default: return nil
        }
        let lanes = words.count == 3 ? Int(words[2].dropFirst()) ?? 0 : 1
        guard (1...64).contains(lanes), words.count == 2 || words[2].hasPrefix("x") else { return nil }
        return Int64(number * unit * Double(lanes))
    }
}
