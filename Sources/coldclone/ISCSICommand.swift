// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import Console
internal import ISCSI

/// `coldclone iscsi`.
struct ISCSICommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "iscsi",
        abstract: "Look for disks on iSCSI targets.",
        discussion: """
            EXAMPLES
              coldclone iscsi discover 10.0.0.1
              coldclone iscsi luns 10.0.0.1 iqn.2001-04.com.example:db --initiator-name iqn.1994-05.com.redhat:web01
            """,
        subcommands: [Discover.self, Units.self])

    /// `coldclone iscsi discover`.
    struct Discover: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "discover",
            abstract: "List the targets that a portal tells of.",
            discussion: """
                Portals may tell of targets that they do not let this machine log in to.

                EXAMPLE
                  coldclone iscsi discover 10.0.0.1:3260 --chap-file chap
                """)

        @Argument(help: "HOST[:PORT], an IPv6 address in brackets, or iscsi://HOST[:PORT].")
        var portal: String

        @OptionGroup var arguments: ISCSIArguments

        @Flag(help: "Print one JSON object instead of a table.")
        var json = false

        @Option(help: "How much to tell on standard error.")
        var logLevel: LogLevel = .warning

        func run() throws {
            let address = try ISCSIAddress(portal)
            let session = try arguments.sessions.session(for: address, Log(level: logLevel))
            let targets = try ISCSIDiscovery.sendTargets(address.portal, session)
            let report = DiscoveryReport(portal: address.portal, initiator: session.initiator, targets)
            Terminal.standardOutput.write(json ? try report.json() : report.text())
        }
    }

    /// `coldclone iscsi luns`.
    struct Units: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "luns",
            abstract: "List the LUNs of targets, with what identifies them and their size.",
            discussion: """
                Without a TARGET, those that the portal tells of are tried; ones that do not let this machine log in \
                are left out with a warning.

                EXAMPLES
                  coldclone iscsi luns 10.0.0.1
                  coldclone iscsi luns 10.0.0.1 iqn.2001-04.com.example:db --json
                  coldclone iscsi luns iscsi://10.0.0.1/iqn.2001-04.com.example:db
                """)

        @Argument(help: "HOST[:PORT], an IPv6 address in brackets, or iscsi://HOST[:PORT][/TARGET].")
        var portal: String

        @Argument(help: "Names of targets.")
        var targets: [ISCSIName] = []

        @OptionGroup var arguments: ISCSIArguments

        @Flag(help: "Print one JSON object instead of a table.")
        var json = false

        @Option(help: "How much to tell on standard error.")
        var logLevel: LogLevel = .warning

        func run() throws {
            let log = Log(level: logLevel)
            let address = try ISCSIAddress(portal)
            let session = try arguments.sessions.session(for: address, log)
            let named = (address.target.map { [$0] } ?? []) + targets
            var report = UnitReport(initiator: session.initiator)
            if named.isEmpty {
                try addAll(to: &report, address.portal, session, log)
            } else {
                for target in named {
                    let units = try ISCSIDiscovery.logicalUnits(of: target, at: address.portal, session)
                    report.add(target, at: address.portal, units.filter { address.lun == nil || $0.lun == address.lun })
                }
            }
            Terminal.standardOutput.write(json ? try report.json() : report.text())
        }

        /// Adds the units of every target that lets us in; fails only when there are targets and none does.
        private func addAll(
            to report: inout UnitReport, _ portal: ISCSIPortal, _ session: ISCSIOptions, _ log: Log
        ) throws(ISCSIError) {
            var refusal: ISCSIError?
            for target in try ISCSIDiscovery.sendTargets(portal, session) {
                do throws(ISCSIError) {
                    let units = try ISCSIDiscovery.logicalUnits(of: target.name, at: portal, session)
                    report.add(target.name, at: portal, units)
                } catch {
                    log.write(.warning, error.description)
                    refusal = error
                }
            }
            if let refusal, report.targets.isEmpty { throw refusal }
        }
    }
}
