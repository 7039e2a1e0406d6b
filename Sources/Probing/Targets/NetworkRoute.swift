// SPDX-License-Identifier: GPL-3.0-or-later

/// Finds the network interface that leads to an address, and how fast it is.
///
/// /proc/net/route and /proc/net/ipv6_route: proc(5); speeds: Documentation/ABI/testing/sysfs-class-net.
struct NetworkRoute {
    private static let maximumLines = 100_000
    private static let tableLimit = 16 << 20
    /// Levels of interfaces upon interfaces that are followed: VLAN on bond on adapter.
    private static let maximumDepth = 6

    let sysroot: Sysroot

    /// Returns the interface that packets to `address` leave by; nil for an address that is none, or without a route.
    func interface(to address: String) -> String? {
        // A zone, as in fe80::1%eth0, names it.
        if let percent = address.firstIndex(of: "%") { return String(address[address.index(after: percent)...]) }
        if let bytes = InternetAddress.version4(address) { return interface(to: bytes) }
        return InternetAddress.version6(address).flatMap(interface(to:))
    }

    private func lines(_ path: String) -> [Substring] {
        guard let bytes = sysroot.bytes(path, limit: Self.tableLimit) else { return [] }
        return Array(String(decoding: bytes, as: UTF8.self).split(separator: "\n").prefix(Self.maximumLines))
    }

    /// Interface, destination, gateway, flags, three counts, metric, mask: numbers as the machine has them in memory.
    private func interface(to address: InternetAddress) -> String? {
        address.bytes.count == 4 ? version4(address.bytes) : version6(address.bytes)
    }

    private func version4(_ address: [UInt8]) -> String? {
        // Little-endian on all machines that this is built for.
        let wanted = address.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        var best: (length: Int, metric: Int, name: String)?
        for line in lines("/proc/net/route").dropFirst() {
            let fields = line.split { $0 == "\t" || $0 == " " }
            guard fields.count >= 8, let destination = UInt32(fields[1], radix: 16),
                let mask = UInt32(fields[7], radix: 16), let flags = UInt32(fields[3], radix: 16),
                let metric = Int(fields[6]), flags & 1 != 0, wanted & mask == destination & mask
            else { continue }
            let length = mask.nonzeroBitCount
            if let best, (best.length, -best.metric) >= (length, -metric) { continue }
            best = (length, metric, String(fields[0]))
        }
        return best?.name
    }

    /// Destination and its prefix's length, source and its, gateway, metric, two counts, flags, interface.
    private func version6(_ address: [UInt8]) -> String? {
        var best: (length: Int, metric: UInt32, name: String)?
        for line in lines("/proc/net/ipv6_route") {
            let fields = line.split(separator: " ")
            guard fields.count >= 10, let destination = InternetAddress.hexadecimal(fields[0]),
                let length = Int(fields[1], radix: 16), length <= 128, let metric = UInt32(fields[5], radix: 16),
                let flags = UInt32(fields[8], radix: 16), flags & 1 != 0,
                (0..<length).allSatisfy({ bit in
                    (address[bit / 8] ^ destination[bit / 8]) & 0x80 >> UInt8(bit % 8) == 0
                })
            else { continue }
            if let best, best.length > length || best.length == length && best.metric <= metric { continue }
            best = (length, metric, String(fields[9]))
        }
        return best?.name
    }

    /// Returns the rate of interface `name` in bits a second; nil for what is not on a wire, or does not say.
    func bitsPerSecond(of name: String) -> Int64? {
        guard name.utf8.count <= 64, !name.contains("/"), isPhysical(name, 0) else { return nil }
        if let speed = speed(name) { return speed }
        // A bridge or VLAN that does not say is as fast as the fastest below it.
        return lower(name).compactMap { bitsPerSecond(of: $0) }.max()
    }

    private func speed(_ name: String) -> Int64? {
        sysroot.number("/sys/class/net/\(name)/speed").flatMap { (1..<10_000_000).contains($0) ? $0 * 1_000_000 : nil }
    }

    private func lower(_ name: String) -> [String] {
        sysroot.names(in: "/sys/class/net/\(name)").filter { $0.hasPrefix("lower_") }.prefix(64).map {
            String($0.dropFirst(6))
        }
    }

    /// Tells whether an adapter with a wire is at the bottom: others, loopback among them, name any rate or none.
    private func isPhysical(_ name: String, _ depth: Int) -> Bool {
        guard depth < Self.maximumDepth, let path = sysroot.resolve("/sys/class/net/\(name)") else { return false }
        if !path.hasPrefix("/sys/devices/virtual/") { return true }
        return lower(name).contains { isPhysical($0, depth + 1) }
    }
}

/// An address of the Internet Protocol, as bytes in the order of the network.
struct InternetAddress: Sendable, Hashable {
    let bytes: [UInt8]

    /// Reads four decimal numbers with dots between them.
    static func version4(_ text: some StringProtocol) -> InternetAddress? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { part in part.allSatisfy(\.isNumber) ? UInt8(part) : nil }
        return parts.count == 4 && bytes.count == 4 ? InternetAddress(bytes: bytes) : nil
    }

    /// Reads groups of hexadecimal digits with colons between them, one run of zeros left out.
    ///
    /// RFC 4291, 2.2.
    static func version6(_ text: String) -> InternetAddress? {
        let halves = text.components(around: "::")
        guard halves.count <= 2 else { return nil }
        var parts: [[UInt8]] = []
        for half in halves {
            var bytes: [UInt8] = []
            let groups =
                half.isEmpty && halves.count == 2 ? [] : half.split(separator: ":", omittingEmptySubsequences: false)
            for group in groups {
                if group.contains(".") {
                    guard let last = version4(group) else { return nil }
                    bytes += last.bytes
                } else {
                    guard group.count <= 4, let value = UInt16(group, radix: 16) else { return nil }
                    bytes += [UInt8(value >> 8), UInt8(value & 0xff)]
                }
            }
            parts.append(bytes)
        }
        let count = parts.reduce(0) { $0 + $1.count }
        guard parts.count == 1 ? count == 16 : count <= 14 else { return nil }
        guard parts.count == 2 else { return InternetAddress(bytes: parts[0]) }
        return InternetAddress(bytes: parts[0] + [UInt8](repeating: 0, count: 16 - count) + parts[1])
    }

    /// Reads 32 hexadecimal digits.
    static func hexadecimal(_ text: some StringProtocol) -> [UInt8]? {
        let digits = text.utf8.compactMap { UInt8(String(UnicodeScalar($0)), radix: 16) }
        guard digits.count == 32, text.utf8.count == 32 else { return nil }
        return stride(from: 0, to: 32, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}

extension String {
    /// Returns the parts between occurrences of `separator`.
    fileprivate func components(around separator: String) -> [Substring] {
        var parts: [Substring] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            parts.append(rest[..<range.lowerBound])
            rest = rest[range.upperBound...]
        }
        return parts + [rest]
    }
}
