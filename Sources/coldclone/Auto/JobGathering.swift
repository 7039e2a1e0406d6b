// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Probing

/// Finds the job of this machine, and puts its configuration together.
///
/// Weakest first: defaults; what is built into the live system; the boot medium's COLDCLONE partition, or the job that
/// is named by path or URL; the receiver's, where nobody else says where the clone goes; the kernel's command line; the
/// program's options.
struct JobGathering {
    /// What is built into the live system.
    static let builtIn = "/etc/coldclone/job.yaml"
    /// Label of the boot medium's partition.
    static let label = "COLDCLONE"

    var commandLine: [KernelCommandLine.Parameter]
    /// Path or URL of a job.
    var job: String?
    /// Options of the form `key=value`.
    var options: [String]
    /// Whether the run ends at once unless the mode is `auto`.
    var isAtBoot: Bool
    var reporter: AutoReporter
    var cancellation: CancellationFlag

    private typealias Layer = (entries: [JobValue.Entry], place: String)

    /// Returns the configuration; at boot in another mode than `auto`, as far as it is known without the network.
    func configuration() throws -> JobConfiguration {
        var layers: [Layer] = []
        if Folder.exists(Self.builtIn) { layers.append(try Self.file(Self.builtIn)) }
        var configuration = try compose(layers)
        // Nothing that a job says wins over the command line.
        if isAtBoot, configuration.mode != .auto, configuration.origin(of: .mode) == .commandLine {
            return configuration
        }
        if let place = job ?? configuration.job {
            // A job that is named is meant, unless the mode is said to be another.
            if isAtBoot, configuration.mode != .auto, configuration.origin(of: .mode) != .defaults {
                return configuration
            }
            layers.append(try fetch(place, configuration))
        } else if let layer = try onMedium() {
            layers.append(layer)
        }
        configuration = try compose(layers)
        if isAtBoot, configuration.mode != .auto { return configuration }
        reporter.speak(configuration.language)
        if configuration.target == nil, let layer = try fromReceiver(configuration) {
            layers.append(layer)
            configuration = try compose(layers)
        }
        try configuration.check()
        return configuration
    }

    /// Returns what the live system itself and the kernel's `commandLine` say.
    static func localConfiguration(_ commandLine: [KernelCommandLine.Parameter]) throws -> JobConfiguration {
        var configuration = JobConfiguration()
        if Folder.exists(builtIn) {
            let layer = try file(builtIn)
            try configuration.apply(job: layer.entries, place: layer.place)
        }
        try configuration.apply(commandLine: commandLine)
        return configuration
    }

    private func compose(_ layers: [Layer]) throws(FormatError) -> JobConfiguration {
        var configuration = JobConfiguration()
        for layer in layers { try configuration.apply(job: layer.entries, place: layer.place) }
        try configuration.apply(commandLine: commandLine)
        for option in options { try configuration.apply(option: option) }
        return configuration
    }

    private static func file(_ path: String) throws -> Layer {
        (try JobText.parse(try SmallFile.read(path, limit: JobText.maximumLength), place: path), path)
    }

    private func fetch(_ place: String, _ configuration: JobConfiguration) throws -> Layer {
        if place.hasPrefix("file:") {
            // file:/path and file:///path.
            let path = place.dropFirst("file:".count).drop { $0 == "/" }
            return try Self.file("/\(path)")
        }
        guard place.hasPrefix("http://") || place.hasPrefix("https://") else { return try Self.file(place) }
        reporter.speak(configuration.language)
        var client = HTTPClient(cancellation: cancellation)
        // The token is for its receiver and nobody else.
        if let receiver = configuration.receiver, place.hasPrefix("\(receiver)/") {
            client.token = configuration.token
            client.fingerprint = configuration.fingerprint
        }
        let patience = Patience(
            reporter: reporter, cancellation: cancellation, seconds: configuration.waitNetwork)
        let answer = try patience.wait(for: "the job \(place)") { try client.request("GET", place) }
        guard answer.status == 200 else {
            throw AutoError("\(place) answers \(answer.status) for the job", hint: "check coldclone.job")
        }
        return (try JobText.parse(answer.body, place: place), place)
    }

    /// Returns the job for this machine on the boot medium, or on a disk that is plugged in.
    ///
    /// Nothing is mounted: the file system is read in place. Disks of the machine itself do not count.
    private func onMedium() throws -> Layer? {
        let machine = MachineProbe(Sysroot()).hardware()
        let trusted = machine.disks.filter { $0.isLiveMedium || $0.isPossibleTarget }.map(\.name)
        guard !trusted.isEmpty else { return nil }
        let names = MachineNames(machine).fileNames.map { "jobs/\($0)" } + ["job.yaml"]
        for volume in VolumeSearch.volumes(named: Self.label, on: trusted) where volume.label == Self.label {
            for name in names {
                guard let text = try volume.content(of: name, limit: JobText.maximumLength) else { continue }
                let place = "\(Self.label):\(name)"
                return (try JobText.parse(text, place: place), place)
            }
        }
        return nil
    }

    private func fromReceiver(_ configuration: JobConfiguration) throws -> Layer? {
        guard let receiver = ReceiverClient(configuration, reporter, cancellation) else { return nil }
        reporter.tell(.askingReceiver(receiver.url))
        guard let text = try receiver.job(of: MachineNames(MachineProbe(Sysroot()).hardware())) else {
            reporter.tell(.receiverAnswers("there is no job for this machine"))
            return nil
        }
        let place = receiver.jobPlace
        return (try JobText.parse(text, place: place), place)
    }
}
