// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Console
internal import Synchronization

/// Tells each step of an unattended run: a line on standard output and on each console, an event for the clone.
final class AutoReporter: Sendable {
    private struct Line: Encodable {
        var time: String
        var step: String
        var message: String
    }

    private let json: Bool
    private let consoles: [SystemConsole]
    private let language: Mutex<JobLanguage>
    private let events = Mutex<(all: [CloneEvent], taken: Int)>(([], 0))
    /// When the run began, RFC 3339, UTC.
    let startedAt = Timestamp().rfc3339

    /// Tells on standard output, as JSON lines or for people, and on `consoles`.
    init(json: Bool, consoles: [SystemConsole]) {
        self.json = json
        self.consoles = consoles
        language = Mutex(.english)
    }

    /// Goes on in `language`.
    func speak(_ language: JobLanguage) { self.language.withLock { $0 = language } }

    /// Tells a step.
    func tell(_ message: AutoMessage) {
        let now = Timestamp().rfc3339
        let language = language.withLock { $0 }
        let text = message.text(language)
        if !message.isRepeated {
            events.withLock { $0.all.append(CloneEvent(.step, message: message.text(.english))) }
        }
        if json {
            write(Line(time: now, step: message.step, message: text))
        } else {
            let clock = now.dropFirst(11).prefix(8)
            Terminal.standardOutput.write("coldclone auto: \(clock) \(Terminal.visible(text))\n")
        }
        let clock = now.dropFirst(11).prefix(8)
        for console in consoles {
            let text = console.drawsJapanese ? text : message.text(.english)
            console.write("coldclone auto: \(clock) \(Terminal.visible(text))")
        }
    }

    /// Runs `body`, which does `what`, and tells every now and then that it is not done yet.
    ///
    /// A server that hangs says nothing at all: nfs(5), hard mounts.
    func watching<Result>(_ what: String, _ body: () throws -> Result) rethrows -> Result {
        let clock = ContinuousClock()
        let start = clock.now
        let watch = ProgressReporter(
            isRewriting: false, secondsBetweenLines: 15,
            write: { [self] _ in tell(.unfinished(what: what, seconds: (clock.now - start) / .seconds(1))) },
            sample: { ProgressSample(label: what, done: 0, total: 1) })
        defer { watch.finish() }
        return try body()
    }

    /// Tells the result, and the exit code for programs that read a console.
    func tell(_ outcome: RunOutcome) {
        let lines = ["coldclone auto: \(outcome.line)", "coldclone auto: exit \(outcome.exitCode)"]
        if json {
            write(outcome)
        } else {
            if let hint = outcome.hint { Terminal.standardOutput.write("hint: \(Terminal.visible(hint))\n") }
            for line in lines { Terminal.standardOutput.write(Terminal.visible(line) + "\n") }
        }
        for console in consoles {
            if let hint = outcome.hint { console.write("hint: \(Terminal.visible(hint))") }
            for line in lines { console.write(Terminal.visible(line)) }
        }
    }

    /// Returns what was told since the last call, for a clone that has the events before that; all, for a new one.
    func takeEvents(forNewClone isNew: Bool = false) -> [CloneEvent] {
        events.withLock { events in
            defer { events.taken = events.all.count }
            return Array(events.all.dropFirst(isNew ? 0 : events.taken))
        }
    }

    private func write(_ value: some Encodable) {
        guard let line = try? JSONText.encode(value, compact: true) else { return }
        Terminal.standardOutput.write(String(decoding: line, as: UTF8.self))
    }
}
