// SPDX-License-Identifier: GPL-3.0-or-later

/// What an unattended run is to do, put together from defaults, jobs, the kernel's command line and options.
///
/// Sources are applied the weakest first; each setting remembers where it came from. <doc:Job> describes the keys.
public struct JobConfiguration: Sendable, Hashable {
    /// What the live system does when it is up.
    public var mode = JobMode.ui
    /// URL of a job.
    public var job: String?
    /// The receiver's URL, without a slash at its end.
    public var receiver: String?
    /// What the receiver knows us by.
    public var token: JobSecret?
    /// What the receiver's key is known by, as `sha256//` and base64.
    public var fingerprint: String?
    /// Where the clone is written; nil while nobody said.
    public var target: JobTarget?
    /// Name of the machine in the clone's name; nil for its serial number.
    public var name: String?
    /// The disks; empty where only LUNs are captured.
    public var disks = [JobDisks.all]
    /// iSCSI portals whose LUNs are captured as well.
    public var iscsi: [JobPortal] = []
    /// Format of the images.
    public var format = JobFormat.qcow2
    /// Compression of qcow2 images.
    public var compression = JobCompression.none
    /// What becomes of space that nothing uses.
    public var freeSpace = FreeSpaceMode.skip
    /// The earlier clone of which only the changes are captured.
    public var base = JobBase.none
    /// Whether images hold everything and only share the base's storage.
    public var baseCopy = false
    /// Whether to go on in spite of critical findings and a target that is too small.
    public var force = false
    /// Whether source and target are measured before the copy.
    public var bench = true
    /// Whether an interrupted clone of this machine is gone on with.
    public var resume = true
    /// How often a target that failed is mounted again.
    public var retries = 3
    /// Seconds that the network is waited for.
    public var waitNetwork = 180
    /// Seconds that the receipt is waited for; 0 for not at all.
    public var waitReceipt = 86_400
    /// What follows success.
    public var onDone = JobEnding.stay
    /// What follows failure.
    public var onFail = JobEnding.stay
    /// Keyboard layout of the console.
    public var keyboard: String?
    /// Language of messages.
    public var language = JobLanguage.english
    /// Public key that may log in over SSH.
    public var sshKey: String?

    /// Where each setting came from that somebody made.
    public private(set) var origins: [JobKey: JobOrigin] = [:]

    /// Makes the defaults.
    public init() {}

    /// The jobs that settings came from.
    public var jobs: [String] {
        Set(origins.values.compactMap { if case .job(let place) = $0 { place } else { nil } }).sorted()
    }

    /// Where `key`'s value came from.
    public func origin(of key: JobKey) -> JobOrigin { origins[key] ?? .defaults }

    /// Applies a job's `entries`.
    ///
    /// - Throws: `FormatError` naming file, line and key.
    public mutating func apply(job entries: [JobValue.Entry], place: String) throws(FormatError) {
        for entry in entries {
            let setting = JobSetting(place: "\(place) line \(entry.value.line)", name: entry.name, value: entry.value)
            try set(try setting.key(), setting, .job(place))
        }
    }

    /// Parameters that tell the live system's own start where it lies; no job has them.
    private static let startParameters: Set<String> = ["medium", "root", "toram"]

    /// Applies the parameters of a kernel command line that begin with `coldclone.`; others are not ours.
    public mutating func apply(commandLine: [KernelCommandLine.Parameter]) throws(FormatError) {
        for parameter in commandLine where parameter.name.hasPrefix("coldclone.") {
            let name = String(parameter.name.dropFirst("coldclone.".count))
            if Self.startParameters.contains(name) { continue }
            let place = "kernel command line"
            if JobSetting.isSecret(name) {
                throw .setting(
                    place: place, reason: "coldclone.\(name) would be read by everybody",
                    hint: "put iSCSI users and secrets into a job")
            }
            try set(text: parameter.value, name, place, .commandLine)
        }
    }

    /// Applies `key=value` of an option; secrets are refused, as everybody can read a program's arguments.
    public mutating func apply(option: String) throws(FormatError) {
        let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let name = parts[0].replacing("-", with: "_")
        if JobSetting.isSecret(name) || name == JobKey.token.rawValue {
            throw .setting(
                place: "--set", reason: "\(name) would be read by everybody on this machine",
                hint: "put it into a job file with mode 600, and name that with --job")
        }
        try set(text: parts.count > 1 ? parts[1] : nil, name, "--set", .option)
    }

    private mutating func set(
        text: String?, _ name: String, _ place: String, _ origin: JobOrigin
    ) throws(FormatError) {
        // As with the kernel's own switches, a name alone turns on.
        let value = JobValue(.text(text ?? "on"))
        let setting = JobSetting(place: place, name: name, value: value)
        let key = try setting.key()
        if text == nil, ![.force, .bench, .resume, .baseCopy].contains(key) {
            throw setting.wrong("it has no value: \(name)=VALUE")
        }
        try set(key, setting, origin)
    }

    private mutating func set(_ key: JobKey, _ setting: JobSetting, _ origin: JobOrigin) throws(FormatError) {
        switch key {
        case .mode: mode = try setting.word()
        case .job: job = try setting.url(schemes: ["http://", "https://", "file:/"])
        case .receiver: receiver = try setting.receiver()
        case .token: token = try setting.token()
        case .fingerprint: fingerprint = try setting.fingerprint()
        case .target: target = try setting.target()
        case .name: name = try setting.machineName()
        case .disks: disks = try setting.disks()
        case .iscsi: iscsi = try setting.portals(mayHoldSecrets: origin.isJob)
        case .format: format = try setting.word()
        case .compression: compression = try setting.word()
        case .freeSpace: freeSpace = try setting.freeSpace()
        case .base: base = try setting.base()
        case .baseCopy: baseCopy = try setting.flag()
        case .force: force = try setting.flag()
        case .bench: bench = try setting.flag()
        case .resume: resume = try setting.flag()
        case .retries: retries = try setting.number(0...1000)
        case .waitNetwork: waitNetwork = try setting.number(0...86_400)
        case .waitReceipt: waitReceipt = try setting.number(0...8_640_000)
        case .onDone: onDone = try setting.word()
        case .onFail: onFail = try setting.word()
        case .keyboard: keyboard = try setting.plainName()
        case .language: language = try setting.word()
        case .sshKey: sshKey = try setting.text()
        }
        origins[key] = origin
    }

    /// Checks what several settings say together.
    public func check() throws(FormatError) {
        if format == .raw, compression != .none {
            throw .setting(
                place: "format", reason: "a raw image cannot be compressed",
                hint: "format: qcow2, or compression: none")
        }
        if base != .none, !baseCopy, format == .raw {
            throw .setting(
                place: "base", reason: "a raw image cannot leave out what its base has",
                hint: "format: qcow2, or base_copy: on")
        }
        if disks.isEmpty, iscsi.isEmpty {
            throw .setting(place: "disks", reason: "there is nothing to capture", hint: "disks: all")
        }
    }
}

extension JobOrigin {
    var isJob: Bool { if case .job = self { true } else { false } }
}

/// All settings in the order of the keys, secrets as `<secret>`.
extension JobConfiguration: Encodable {
    /// A setting as it is shown.
    public struct Line: Sendable, Hashable, Encodable {
        /// The key.
        public var key: String
        /// The value, `-` where there is none.
        public var value: String
        /// Where it comes from.
        public var origin: String
    }

    /// All settings in the order of the keys.
    public var lines: [Line] {
        JobKey.allCases.map { Line(key: $0.rawValue, value: text(of: $0), origin: origin(of: $0).description) }
    }

    /// Writes the settings, secrets as `<secret>`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(lines)
    }

    private func text(of key: JobKey) -> String {
        switch key {
        case .mode: mode.rawValue
        case .job: job ?? "-"
        case .receiver: receiver ?? "-"
        case .token: token?.description ?? "-"
        case .fingerprint: fingerprint ?? "-"
        case .target: target?.description ?? "-"
        case .name: name ?? "-"
        case .disks: disks.isEmpty ? "none" : disks.map(\.description).joined(separator: ", ")
        case .iscsi: iscsi.isEmpty ? "-" : iscsi.map(\.description).joined(separator: ", ")
        case .format: format.rawValue
        case .compression: compression.rawValue
        case .freeSpace: freeSpace.rawValue
        case .base: base.description
        case .baseCopy: Self.text(baseCopy)
        case .force: Self.text(force)
        case .bench: Self.text(bench)
        case .resume: Self.text(resume)
        case .retries: "\(retries)"
        case .waitNetwork: "\(waitNetwork)"
        case .waitReceipt: "\(waitReceipt)"
        case .onDone: onDone.rawValue
        case .onFail: onFail.rawValue
        case .keyboard: keyboard ?? "-"
        case .language: language.rawValue
        case .sshKey: sshKey ?? "-"
        }
    }

    private static func text(_ flag: Bool) -> String { flag ? "on" : "off" }
}
