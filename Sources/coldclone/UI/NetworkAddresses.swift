// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// The addresses that this machine has at the moment.
enum NetworkAddresses {
    /// Returns interface, address and length of the prefix of all but local addresses: `eno1 10.0.0.5/24`.
    ///
    /// getifaddrs(3), getnameinfo(3).
    static func all() -> [String] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var found: [String] = []
        var next = first
        while let entry = next?.pointee {
            next = entry.ifa_next
            guard entry.ifa_flags & UInt32(IFF_LOOPBACK) == 0, let address = entry.ifa_addr,
                let text = text(address), !text.hasPrefix("fe80:")
            else { continue }
            found.append("\(String(cString: entry.ifa_name)) \(text)")
        }
        return found
    }

    private static func text(_ address: UnsafeMutablePointer<sockaddr>) -> String? {
        let family = Int32(address.pointee.sa_family)
        guard family == AF_INET || family == AF_INET6 else { return nil }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let isDone =
            family == AF_INET
            ? address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                inet_ntop(family, &$0.pointee.sin_addr, &text, socklen_t(text.count)) != nil
            }
            : address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
                inet_ntop(family, &$0.pointee.sin6_addr, &text, socklen_t(text.count)) != nil
            }
        return isDone ? String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }
}
