// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Console
internal import ISCSI

/// What `coldclone iscsi discover` tells.
struct DiscoveryReport: Encodable {
    struct Target: Encodable {
        var name: String
        var portals: [String]
    }

    var portal: String
    var initiatorName: String
    var targets: [Target]

    init(portal: ISCSIPortal, initiator: ISCSIName, _ targets: [DiscoveredTarget]) {
        self.portal = portal.description
        initiatorName = initiator.description
        self.targets = targets.map { .init(name: $0.name.description, portals: $0.portals.map(\.description)) }
    }

    /// Returns one JSON object on a line.
    func json() throws -> String { String(decoding: try JSONText.encode(self, compact: true), as: UTF8.self) }

    /// Returns a table with a line a portal, and what to do next.
    func text() -> String {
        guard !targets.isEmpty else {
            return """
                \(portal) tells of no targets to the initiator \(Terminal.visible(initiatorName))

                """
        }
        var table = TextTable(columns: [.left("target"), .left("portal")])
        for target in targets {
            for (index, portal) in (target.portals.isEmpty ? [self.portal] : target.portals).enumerated() {
                table.rows.append([index == 0 ? target.name : "", portal])
            }
        }
        return table.render() + """

            asked as \(Terminal.visible(initiatorName))
            next     coldclone iscsi luns \(portal) TARGET

            """
    }
}

/// What `coldclone iscsi luns` tells.
struct UnitReport: Encodable {
    struct Target: Encodable {
        var name: String
        var portal: String
        var luns: [Unit]
    }

    struct Unit: Encodable {
        var lun: Int
        var deviceType: Int
        var vendor: String
        var product: String
        var revision: String
        var serial: String?
        var wwid: String?
        var lengthInBytes: Int64?
        var logicalSectorSizeInBytes: Int?
        var physicalSectorSizeInBytes: Int?
        var unmappedReadsAsZeros: Bool?
        var url: String?
    }

    var initiatorName: String
    var targets: [Target] = []

    init(initiator: ISCSIName) { initiatorName = initiator.description }

    /// Adds a target with its units.
    mutating func add(_ target: ISCSIName, at portal: ISCSIPortal, _ units: [LogicalUnit]) {
        let luns = units.map { unit in
            Unit(
                lun: unit.lun.rawValue, deviceType: Int(unit.deviceType), vendor: unit.vendor, product: unit.product,
                revision: unit.revision, serial: unit.identity.serial, wwid: unit.identity.wwid,
                lengthInBytes: unit.capacity?.lengthInBytes, logicalSectorSizeInBytes: unit.capacity?.blockSize,
                physicalSectorSizeInBytes: unit.capacity?.physicalBlockSize,
                unmappedReadsAsZeros: unit.capacity?.unmappedReadsAsZeros,
                url: unit.isDisk
                    ? ISCSIURL(portal: portal, target: target, lun: unit.lun).description : nil)
        }
        targets.append(.init(name: target.description, portal: portal.description, luns: luns))
    }

    /// Returns one JSON object on a line.
    func json() throws -> String { String(decoding: try JSONText.encode(self, compact: true), as: UTF8.self) }

    /// Returns a table with a line a unit, the URL last: it is long, and it is what to copy.
    func text() -> String {
        var table = TextTable(columns: [
            .right("lun"), .right("length"), .right("sector"), .left("vendor"), .left("product"), .left("serial"),
            .left("wwid"), .left("url"),
        ])
        var left = 0
        for target in targets {
            for unit in target.luns {
                guard let url = unit.url else {
                    left += 1
                    continue
                }
                table.rows.append([
                    "\(unit.lun)", unit.lengthInBytes.map { HumanBytes.format($0) } ?? "no medium",
                    unit.logicalSectorSizeInBytes.map { "\($0)" } ?? "", unit.vendor, unit.product, unit.serial ?? "",
                    unit.wwid ?? "", url,
                ])
            }
        }
        let other = left == 0 ? "" : "\(left) other LUN\(left == 1 ? " is no disk" : "s are no disks")\n"
        guard !table.rows.isEmpty else {
            return "no disks for the initiator \(Terminal.visible(initiatorName))\n\(other)"
        }
        return table.render() + "\n\(other)next  coldclone capture URL --target dir:FOLDER\n"
    }
}
