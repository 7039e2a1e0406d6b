// SPDX-License-Identifier: GPL-3.0-or-later

import Console
import Testing

@Suite struct HumanBytesTests {
    @Test(
        arguments: [
            (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (-1536, "-1.5 KiB"),
            (99 * 1024, "99.0 KiB"), (102_348, "99.9 KiB"), (102_400, "100 KiB"), (1_048_064, "1.0 MiB"),
            (1 << 20, "1.0 MiB"), (1_610_612_736, "1.5 GiB"), (112 << 20, "112 MiB"), (8 << 40, "8.0 TiB"),
            (Int64.max, "8.0 EiB"), (Int64.min, "-8.0 EiB"),
        ] as [(Int64, String)])
    func format(bytes: Int64, text: String) {
        #expect(HumanBytes.format(bytes) == text)
    }

    @Test func noValueNeedsFourDigitsAndADecimal() {
        for shift in 0..<63 {
            for delta: Int64 in [-2, -1, 0, 1, 2] {
                let text = HumanBytes.format((Int64(1) << shift) &+ delta)
                #expect(text.split(separator: " ").first?.count ?? 0 <= 4, "\(text)")
            }
        }
    }

    @Test func rate() {
        #expect(HumanBytes.rate(117_440_512) == "112 MiB/s")
        #expect(HumanBytes.rate(nil) == "-")
        #expect(HumanBytes.rate(.infinity) == "-")
        #expect(HumanBytes.rate(.nan) == "-")
        #expect(HumanBytes.rate(1e300) == "7.8 EiB/s")
    }
}

@Suite struct HumanDurationTests {
    @Test(
        arguments: [
            (0, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (42, "42 s"), (59.4, "59 s"),
            (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (273_600, "3 d 4 h"), (-1, "-"),
            (.infinity, "-"), (.nan, "-"), (1e300, "11574074074 d 1 h"),
        ] as [(Double, String)])
    func format(seconds: Double, text: String) {
        #expect(HumanDuration.format(seconds: seconds) == text)
    }
}

@Suite struct TextTableTests {
    @Test func columnsStandAtTheirSides() {
        let table = TextTable(
            columns: [.left("Disk"), .right("Length"), .left("Result")],
            rows: [["sda", "1.5 GiB", "verified"], ["nvme0n1", "512 B"]])
        #expect(
            table.render() == """
                DISK      LENGTH  RESULT
                sda      1.5 GiB  verified
                nvme0n1    512 B

                """)
    }

    @Test func cellsCannotSteerTheTerminal() {
        let table = TextTable(columns: [.left("Disk")], rows: [["\u{1B}[2Jsda\r\n\u{202E}x"], ["a", "too many"]])
        #expect(table.render() == "DISK\n\\u{1B}[2Jsda\\u{D}\\u{A}\\u{202E}x\na\n")
    }
}

@Suite struct ProgressLineTests {
    @Test func rateAndTimeLeft() {
        var line = ProgressLine()
        #expect(line.render() == "")
        line.update(ProgressSample(label: "checking sda", done: 0, total: 100 << 20), at: 5)
        #expect(line.render() == "checking sda    0%  0 B of 100 MiB")
        line.update(ProgressSample(label: "checking sda", done: 50 << 20, total: 100 << 20, extra: "ok"), at: 10)
        #expect(line.render() == "checking sda   50%  50.0 MiB of 100 MiB  10.0 MiB/s  5.0 s left  ok")
        #expect(line.render(width: 12) == "checking sda")
        // A new label is a new measurement.
        line.update(ProgressSample(label: "checking sdb", done: 60 << 20, total: 100 << 20), at: 11)
        #expect(line.rate == nil)
    }

    @Test func theRateIsSmoothed() throws {
        var line = ProgressLine()
        for second in 0...60 {
            line.update(ProgressSample(label: "x", done: Int64(second) * 1000, total: nil), at: Double(second))
        }
        line.update(ProgressSample(label: "x", done: 60_000 + 100_000, total: nil), at: 61)
        let rate = try #require(line.rate)
        #expect(rate > 1000 && rate < 20_000)
        #expect(line.secondsLeft == nil)
        #expect(line.percent == nil)
    }

    @Test func hundredPercentMeansAll() {
        var line = ProgressLine()
        line.update(ProgressSample(label: "x", done: 999_999, total: 1_000_000), at: 1)
        #expect(line.percent == 99)
        line.update(ProgressSample(label: "x", done: 2_000_000, total: 1_000_000), at: 2)
        #expect(line.percent == 100)
        line.update(ProgressSample(label: "x", done: 0, total: 0), at: 2)
        #expect(line.percent == 100)
    }
}
