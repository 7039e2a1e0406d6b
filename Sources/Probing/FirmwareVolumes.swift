// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat
internal import Glibc

/// Asks mdadm(8), where it is installed, what volumes lie on firmware RAID: its metadata are not read by us.
enum FirmwareVolumes {
    private static let secondsAtMost = 10

    /// Returns the volumes on the members of a set: `mirror`, `data`, each once.
    ///
    /// mdadm --examine --brief names a container, then each volume: `ARRAY /dev/md/NAME container=… member=…`. It only
    /// reads.
    static func names(on members: [String]) -> [String] {
        let programs = ["/usr/sbin/mdadm", "/sbin/mdadm"]
        guard let program = programs.first(where: { (path: String) in access(path, X_OK) == 0 }) else { return [] }
        var names: [String] = []
        for member in members.prefix(64) {
            guard
                let output = HelperProgram.output(
                    program, ["--examine", "--brief", member], secondsAtMost: secondsAtMost)
            else { continue }
            for name in parse(String(decoding: output, as: UTF8.self)) where !names.contains(name) {
                names.append(name)
            }
        }
        return names
    }

    static func parse(_ text: String) -> [String] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.first == "ARRAY", words.contains(where: { $0.hasPrefix("container=") }), words.count > 1,
                words[1].hasPrefix("/dev/md/")
            else { return nil }
            return String(words[1].dropFirst("/dev/md/".count))
        }
    }
}
