// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// From host names to addresses.
enum NameResolution {
    /// Returns the portals with numeric hosts that `portal` leads to, in the resolver's order.
    ///
    /// Addresses need no resolver, which a static program may lack. getaddrinfo(3).
    static func addresses(of portal: ISCSIPortal) throws(ISCSIError) -> [ISCSIPortal] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICHOST
        var list: UnsafeMutablePointer<addrinfo>?
        var result = getaddrinfo(portal.host, nil, &hints, &list)
        if result != 0 {
            hints.ai_flags = 0
            result = getaddrinfo(portal.host, nil, &hints, &list)
        }
        guard result == 0 else {
            throw ISCSIError("find the address of \(portal.host)", .unresolved(String(cString: gai_strerror(result))))
        }
        defer { freeaddrinfo(list) }
        var found: [ISCSIPortal] = []
        var next = list
        while let entry = next?.pointee, found.count < 16 {
            next = entry.ai_next
            var name = [CChar](repeating: 0, count: 256)
            guard entry.ai_family == AF_INET || entry.ai_family == AF_INET6,
                getnameinfo(
                    entry.ai_addr, entry.ai_addrlen, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST) == 0
            else { continue }
            let host = name.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            let address = ISCSIPortal(host: host, port: portal.port)
            if !found.contains(address) { found.append(address) }
        }
        guard !found.isEmpty else {
            throw ISCSIError("find the address of \(portal.host)", .unresolved("it has neither IPv4 nor IPv6"))
        }
        return found
    }
}
