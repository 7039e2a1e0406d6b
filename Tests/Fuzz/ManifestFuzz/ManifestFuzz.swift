// SPDX-License-Identifier: GPL-3.0-or-later

internal import CloneFormat

/// Reads the input as each of the clone's JSON files: as it is, and as a manifest whose own digest is right again.
///
/// What is accepted must come back the same from being written and read once more.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: size))
    open(bytes)
    if let repaired = withRightDigest(bytes) { open(repaired) }
    if let manifest: Manifest = try? JSONText.decode(bytes, file: "input"), let sealed = try? manifest.sealed() {
        open(sealed)
    }
    roundTrip(bytes, as: Receipt.self)
    roundTrip(bytes, as: Journal.self)
    roundTrip(bytes, as: CloneEvent.self)
    return 0
}

/// Opens a manifest; one that is accepted must have safe names, and be equal after sealing and opening again.
private func open(_ bytes: [UInt8]) {
    guard let manifest = try? Manifest(opening: bytes, file: "input") else { return }
    for disk in manifest.disks {
        for name in [disk.name, disk.image.file, disk.chunks.file] {
            precondition(!name.isEmpty && !name.contains("/") && !name.hasPrefix("."), "a name that leads out")
        }
    }
    guard let sealed = try? manifest.sealed(), var again = try? Manifest(opening: sealed, file: "again") else {
        preconditionFailure("an accepted manifest cannot be sealed and opened")
    }
    again.selfDigest = manifest.selfDigest
    precondition(again == manifest, "sealing and opening changed the manifest")
}

/// Returns `bytes` with `self_digest` computed anew, so that mutations get behind it; nil when it has no place.
private func withRightDigest(_ bytes: [UInt8]) -> [UInt8]? {
    let key = Array("\"self_digest\" : \"sha256:".utf8)
    guard let start = bytes.indices.first(where: { bytes[$0] == key[0] && bytes[$0...].starts(with: key) }) else {
        return nil
    }
    let digits = start + key.count..<start + key.count + 64
    guard digits.upperBound < bytes.count else { return nil }
    var repaired = bytes
    repaired.replaceSubrange(digits, with: [UInt8](repeating: UInt8(ascii: "0"), count: 64))
    repaired.replaceSubrange(digits, with: Array(Digest(of: repaired).hexadecimal.utf8))
    return repaired
}

private func roundTrip<Value: Codable & Equatable>(_ bytes: [UInt8], as type: Value.Type) {
    guard let value: Value = try? JSONText.decode(bytes, file: "input") else { return }
    guard let text = try? JSONText.encode(value), let again: Value = try? JSONText.decode(text, file: "again") else {
        preconditionFailure("what was read cannot be written and read again")
    }
    precondition(again == value, "writing and reading changed the value")
}
