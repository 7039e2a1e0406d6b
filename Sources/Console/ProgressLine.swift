// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// How far something is, as its worker knows it at one moment.
public struct ProgressSample: Sendable, Hashable {
    /// What is being done: `checking sda`.
    public var label: String
    /// Bytes done.
    public var done: Int64
    /// Bytes to do; nil when that is not known.
    public var total: Int64?
    /// Whatever else there is to say.
    public var extra: String

    /// Makes a sample; lengths are in bytes.
    public init(label: String, done: Int64, total: Int64?, extra: String = "") {
        self.label = label
        self.done = done
        self.total = total
        self.extra = extra
    }
}

/// Renders progress as one line with percent, smoothed rate and the time that is left.
///
///     checking sda   42%  1.2 GiB of 2.9 GiB  112 MiB/s  15 s left
public struct ProgressLine: Sendable {
    /// Seconds over which the rate is smoothed: what is older counts for little.
    private static let memory = 10.0

    /// Bytes a second, smoothed; nil until two samples of one label have come.
    public private(set) var rate: Double?
    private var last: (sample: ProgressSample, seconds: Double)?

    /// Makes a line that has seen nothing yet.
    public init() {}

    /// Takes what is known at `seconds` of any steady clock.
    public mutating func update(_ sample: ProgressSample, at seconds: Double) {
        defer { last = (sample, seconds) }
        guard let last, last.sample.label == sample.label, sample.done >= last.sample.done else {
            rate = nil
            return
        }
        let elapsed = seconds - last.seconds
        guard elapsed > 0 else { return }
        let present = Double(sample.done - last.sample.done) / elapsed
        let weight = 1 - exp(-elapsed / Self.memory)
        rate = rate.map { $0 + (present - $0) * weight } ?? present
    }

    /// Seconds until the total is reached at the present rate, where both are known.
    public var secondsLeft: Double? {
        guard let sample = last?.sample, let total = sample.total, let rate, rate > 0 else { return nil }
        return Double(max(total - sample.done, 0)) / rate
    }

    /// Percent done, rounded down so that 100 means all.
    public var percent: Int? {
        guard let sample = last?.sample, let total = sample.total else { return nil }
        guard total > 0 else { return 100 }
        return Int(min(max(Double(sample.done) / Double(total), 0), 1) * 100)
    }

    /// Returns the line, cut to `width` characters where that is given.
    public func render(width: Int? = nil) -> String {
        guard let sample = last?.sample else { return "" }
        var parts = [Terminal.visible(sample.label)]
        if let percent, let total = sample.total {
            parts.append("\(percent < 10 ? "  " : percent < 100 ? " " : "")\(percent)%")
            parts.append("\(HumanBytes.format(sample.done)) of \(HumanBytes.format(total))")
        } else {
            parts.append(HumanBytes.format(sample.done))
        }
        if let rate { parts.append(HumanBytes.rate(rate)) }
        if let secondsLeft { parts.append("\(HumanDuration.format(seconds: secondsLeft)) left") }
        if !sample.extra.isEmpty { parts.append(Terminal.visible(sample.extra)) }
        let line = parts.joined(separator: "  ")
        guard let width, line.count > width else { return line }
        return String(line.prefix(max(width, 0)))
    }
}
