// SPDX-License-Identifier: GPL-3.0-or-later

public import ArgumentParser
internal import Console
public import ISCSI

extension ISCSIName: ExpressibleByArgument {
    /// Takes a name from the command line.
    public init?(argument: String) { self.init(argument) }
}

/// How this machine presents itself to iSCSI targets.
struct ISCSIArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Name that targets know this machine by. (default: \(InitiatorName.path), else one of the machine's UUID)",
            valueName: "iqn"))
    var initiatorName: ISCSIName?

    @Option(
        help: ArgumentHelp(
            "File with lines user=, password=, mutual_user=, mutual_password=. (default: COLDCLONE_CHAP_USER, …)",
            valueName: "file"),
        completion: .file())
    var chapFile: String?

    /// Who logs in where, as these arguments say.
    var sessions: ISCSISessions {
        let (initiatorName, chapFile) = (initiatorName, chapFile)
        return ISCSISessions(initiatorName: initiatorName) { address, log throws(ISCSIError) in
            try Self.credentials(address, log, chapFile: chapFile)
        }
    }

    private static func credentials(
        _ address: ISCSIAddress, _ log: Log, chapFile: String?
    ) throws(ISCSIError) -> CHAPCredentials? {
        if address.password != nil {
            log.write(
                .warning,
                "a password in a URL can be read by everybody on this machine: use --chap-file, or the environment")
        }
        if let chapFile {
            let file = try CHAPCredentials.read(file: chapFile)
            if let warning = file.warning { log.write(.warning, warning) }
            return file.credentials
        }
        if let credentials = try CHAPCredentials.fromEnvironment(user: address.user) { return credentials }
        switch (address.user, address.password) {
        case (let user?, let password?): return try CHAPCredentials(initiator: .init(user: user, password: password))
        case (let user?, nil):
            throw ISCSIError("log in as \(user)", .notAuthenticated("there is no password"))
        default: return nil
        }
    }
}

/// Who logs in where: this machine's name towards targets, and what it proves itself with.
struct ISCSISessions: Sendable {
    /// Name that targets know this machine by; nil for what it calls itself.
    var initiatorName: ISCSIName?
    /// Finds the credentials for an address; nil for none.
    var credentials: @Sendable (ISCSIAddress, Log) throws(ISCSIError) -> CHAPCredentials?

    /// Returns who logs in at `address`, and says what is unwise about it.
    func session(for address: ISCSIAddress, _ log: Log) throws(ISCSIError) -> ISCSIOptions {
        ISCSIOptions(
            initiator: initiatorName ?? InitiatorName.resolve(), credentials: try credentials(address, log))
    }
}
