// SPDX-License-Identifier: GPL-3.0-or-later

internal import TestSupport
internal import Testing

/// The root shell on a live system's serial console.
struct LiveShell: Sendable {
    let console: SerialConsole

    /// Returns what a command prints that must succeed.
    @discardableResult
    func output(_ command: String, within seconds: Int = 300) throws -> String {
        let result = try console.run(command, within: seconds)
        guard result.status == 0 else {
            throw ToolError("\(command): \(result.status.map { "\($0)" } ?? "?") \(result.output)")
        }
        return result.output
    }

    /// Expects that no account has a password: shadow(5), where `!` and `*` match none.
    func expectNoPassword() throws {
        let open = try console.run("awk -F: '$2 !~ /^[!*]/' /etc/shadow")
        #expect(open.status == 0 && open.output == "", "accounts with a password, or none at all: \(open.output)")
    }

    /// Expects that nothing listens: no TCP port answers to connections from outside, and no socket waits for what
    /// comes by UDP, but for the DHCP client's.
    func expectNothingListens(in network: LabNetwork) throws {
        let address = try output("ip -4 -o address show scope global up | awk '{ print $4; exit }'")
        let host = address.prefix { $0 != "/" }
        try #require(host.hasPrefix("10.99.0."), "no address: \(address)")
        // The one thing that must be seen, lest the scan call everything closed.
        try output(
            """
            mkfifo /tmp/news; exec 9<>/tmp/news; \
            systemd-socket-activate --accept --listen=4242 /bin/true >&9 2>&9 & read -r _ <&9
            """)
        let found = try network.output("python3", ["\(Fixtures.folder)/open-ports", String(host)])
        #expect(found == "4242\n", "TCP ports answer: \(found)")
        try output("kill $!")
        let sockets = try output("ss -Hlun | awk '{ print $4 }'")
        let unexpected = sockets.split(separator: "\n").filter {
            !$0.hasSuffix(":68") && !$0.hasSuffix(":546") && !$0.hasPrefix("127.0.0.") && !$0.hasPrefix("[::1]")
        }
        #expect(unexpected.isEmpty, "UDP sockets: \(sockets)")
    }
}
