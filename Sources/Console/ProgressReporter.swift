// SPDX-License-Identifier: GPL-3.0-or-later

/// Shows progress on standard error while work goes on: one rewritten line on a terminal, else a line now and then.
public final class ProgressReporter: Sendable {
    /// Seconds between two lines where nobody watches: a log is read later.
    public static let secondsBetweenLines = 5.0
    private static let secondsBetweenRewrites = 0.25

    private let finished = OnceEvent()
    private let thread: BackgroundThread?

    /// Starts to show what `sample` returns; nil means that there is nothing to show at the moment.
    ///
    /// `isRewriting` says whether standard error is a terminal; asked of it when left out. Lines that are not rewritten
    /// go to `write` where there is one, one every `secondsBetweenLines`.
    public init(
        isRewriting: Bool = Terminal.standardError.isTerminal,
        secondsBetweenLines: Double = ProgressReporter.secondsBetweenLines,
        write: @escaping @Sendable (String) -> Void = { Terminal.standardError.write($0 + "\n") },
        sample: @escaping @Sendable () -> ProgressSample?
    ) {
        let finished = finished
        thread = BackgroundThread {
            var line = ProgressLine()
            let interval = isRewriting ? Self.secondsBetweenRewrites : secondsBetweenLines
            // The rate needs a beginning.
            if let sample = sample() { line.update(sample, at: Clock.seconds) }
            while !finished.wait(seconds: interval) {
                guard let sample = sample() else { continue }
                line.update(sample, at: Clock.seconds)
                if isRewriting {
                    // One column stays free: a full line would wrap and no longer be rewritten.
                    let width = Terminal.standardError.width.map { $0 - 1 }
                    Terminal.standardError.write("\r\(line.render(width: width))\u{1B}[K")
                } else {
                    write(line.render())
                }
            }
            if isRewriting { Terminal.standardError.write("\r\u{1B}[K") }
        }
    }

    /// Ends the display and clears its line; call it once, before anything else is printed.
    public func finish() {
        finished.happen()
        thread?.join()
    }
}
