// SPDX-License-Identifier: GPL-3.0-or-later

internal import CISCSI

/// A target, and where it can be reached.
public struct DiscoveredTarget: Sendable, Hashable {
    /// Its name.
    public var name: ISCSIName
    /// Its portals, as it tells them.
    public var portals: [ISCSIPortal]

    /// Reads the library's list, which is in the reverse of the target's order; what is no name is left out.
    static func list(_ first: UnsafePointer<iscsi_discovery_address>?) -> [DiscoveredTarget] {
        var targets: [DiscoveredTarget] = []
        var next = first
        while let entry = next?.pointee, targets.count < 65536 {
            next = UnsafePointer(entry.next)
            guard let text = entry.target_name, let name = ISCSIName(String(cString: text)) else { continue }
            var target = DiscoveredTarget(name: name, portals: [])
            var portal = UnsafePointer(entry.portals)
            while let entry = portal?.pointee, target.portals.count < 256 {
                portal = UnsafePointer(entry.next)
                guard let text = entry.portal, let address = ISCSIPortal(String(cString: text)) else { continue }
                if !target.portals.contains(address) { target.portals.append(address) }
            }
            target.portals.reverse()
            targets.append(target)
        }
        return targets.reversed()
    }
}

/// Who asks, and how long it waits.
public struct ISCSIOptions: Sendable {
    /// The name that targets know this machine by.
    public var initiator: ISCSIName
    /// What both sides prove themselves with.
    public var credentials: CHAPCredentials?
    /// Seconds for one login, or one answer before the disk is read.
    public var timeout: Double

    /// Makes options.
    public init(initiator: ISCSIName, credentials: CHAPCredentials? = nil, timeout: Double = 15) {
        self.initiator = initiator
        self.credentials = credentials
        self.timeout = timeout
    }
}

/// What there is to be found on the network.
public enum ISCSIDiscovery {
    /// Returns the targets that the service at `portal` tells of: SendTargets.
    ///
    /// Some services list targets that they will not let this initiator log in to.
    public static func sendTargets(
        _ portal: ISCSIPortal, _ options: ISCSIOptions
    ) throws(ISCSIError) -> [DiscoveredTarget] {
        let connection = try logIn(portal, options, target: nil)
        let targets = try connection.sendTargets(portal, timeout: options.timeout)
        connection.logOut()
        return targets
    }

    /// Returns the logical units of `target` at `portal`, ascending.
    ///
    /// Units that are no disks are among them.
    public static func logicalUnits(
        of target: ISCSIName, at portal: ISCSIPortal, _ options: ISCSIOptions
    ) throws(ISCSIError) -> [LogicalUnit] {
        let connection = try logIn(portal, options, target: target)
        let place = "\(target) at \(portal)"
        var units: [LogicalUnit] = []
        for lun in try Inspection(connection, place, .init(timeout: options.timeout)).numbers() {
            // Each unit has the whole time: there may be hundreds.
            let inspection = Inspection(connection, place, .init(timeout: options.timeout))
            if let unit = try inspection.unit(lun) { units.append(unit) }
        }
        connection.logOut()
        return units
    }

    /// Logs in at the first of the portal's addresses that takes us.
    static func logIn(
        _ portal: ISCSIPortal, _ options: ISCSIOptions, target: ISCSIName?
    ) throws(ISCSIError) -> Connection {
        let configuration = Connection.Configuration(
            initiator: options.initiator, credentials: options.credentials, target: target)
        var failure = ISCSIError("connect to \(portal)", .unreachable("there is no address"))
        for address in try NameResolution.addresses(of: portal) {
            do throws(ISCSIError) {
                return try Connection.logIn(to: address, configuration, .init(timeout: options.timeout))
            } catch {
                failure = error
            }
        }
        throw failure
    }
}
