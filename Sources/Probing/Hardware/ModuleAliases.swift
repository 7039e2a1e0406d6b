// SPDX-License-Identifier: GPL-3.0-or-later

internal import Glibc

/// Which kernel modules claim a device, by the live system's modules.alias, and whether their files are there.
///
/// modules.alias: lines `alias PATTERN MODULE`, patterns as fnmatch(3) takes them. modules.dep(5), modprobe.d(5).
struct ModuleAliases: Sendable {
    private static let limit = 16 << 20

    /// A module that claims a device.
    struct Claim: Sendable, Hashable {
        var module: String
        /// Whether its file is in the live system, or it is built into the kernel.
        var isAvailable: Bool
    }

    private var claims: [String: [Claim]] = [:]

    /// Looks up `modaliases`; a recording keeps the lines that matched.
    init(_ sysroot: Sysroot, for modaliases: [String]) {
        guard !modaliases.isEmpty, let release = sysroot.text("/proc/sys/kernel/osrelease"),
            !release.contains("/")
        else { return }
        let folder = ["/lib/modules", "/usr/lib/modules"].map { "\($0)/\(release)" }.first { sysroot.exists($0) }
        guard let folder else { return }
        let modules = Self.matches(sysroot, "\(folder)/modules.alias", modaliases)
        let builtIn = Self.matches(sysroot, "\(folder)/modules.builtin.alias", modaliases)
        let files = Self.files(sysroot, "\(folder)/modules.dep", Set(modules.values.joined()))
        for modalias in modaliases {
            var found: [Claim] = []
            for module in builtIn[modalias] ?? [] where !found.contains(where: { $0.module == module }) {
                found.append(Claim(module: module, isAvailable: true))
            }
            for module in modules[modalias] ?? [] where !found.contains(where: { $0.module == module }) {
                let isThere = files[Self.normal(module)].map { sysroot.exists("\(folder)/\($0)") } ?? false
                found.append(Claim(module: module, isAvailable: isThere))
            }
            claims[modalias] = found
        }
    }

    /// Returns the modules that claim `modalias`.
    func claims(_ modalias: String?) -> [Claim] { modalias.flatMap { claims[$0] } ?? [] }

    /// Returns the modules whose patterns match, by modalias.
    private static func matches(_ sysroot: Sysroot, _ path: String, _ modaliases: [String]) -> [String: [String]] {
        guard let content = sysroot.bytes(path, limit: limit) else { return [:] }
        var found: [String: [String]] = [:]
        var excerpt: [UInt8] = []
        let prefix = Array("alias pci:".utf8)
        for line in content.split(whereSeparator: { $0 == 0x0a || $0 == 0 }) {
            // modules.builtin.alias has no keyword in front in some releases.
            guard line.starts(with: prefix) else { continue }
            let parts = line.split(separator: 0x20)
            guard parts.count == 3 else { continue }
            let pattern = String(decoding: parts[1], as: UTF8.self)
            let matching = modaliases.filter { fnmatch(pattern, $0, 0) == 0 }
            guard !matching.isEmpty else { continue }
            excerpt += line + [0x0a]
            for modalias in matching { found[modalias, default: []].append(String(decoding: parts[2], as: UTF8.self)) }
        }
        if let canonical = sysroot.resolve(path) { sysroot.record(canonical, .file(excerpt)) }
        return found
    }

    /// Returns the file of each module, below the modules' folder.
    private static func files(_ sysroot: Sysroot, _ path: String, _ modules: Set<String>) -> [String: String] {
        guard !modules.isEmpty, let content = sysroot.bytes(path, limit: limit) else { return [:] }
        let wanted = Set(modules.map(normal))
        var found: [String: String] = [:]
        var excerpt: [UInt8] = []
        for line in content.split(separator: 0x0a) {
            let file = String(decoding: line.prefix { $0 != UInt8(ascii: ":") }, as: UTF8.self)
            let stem = file.split(separator: "/").last?.prefix { $0 != "." } ?? ""
            guard wanted.contains(normal(String(stem))) else { continue }
            excerpt += Array(file.utf8) + [UInt8(ascii: ":"), 0x0a]
            found[normal(String(stem))] = file
        }
        if let canonical = sysroot.resolve(path) { sysroot.record(canonical, .file(excerpt)) }
        return found
    }

    /// A module's name has underscores in the kernel, and either in its file's name.
    private static func normal(_ name: String) -> String { String(name.map { $0 == "-" ? "_" : $0 }) }
}
