// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import FileSystems
internal import FuzzSupport
internal import Synchronization

/// Opens the file system on the first disk, and reads names, content and free space as long as a bound allows.
///
/// What is read must be as much as was asked for, and free space must lie within the volume.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: data, count: size)
    guard let source = SparseDisks(input)?.sources.first, source.lengthInBytes <= 1 << 40 else { return 0 }
    guard let reader = try? FileSystemKind.open(source) else { return 0 }
    walk(reader)
    let calls = Mutex(0)
    let options = SpaceOptions(isChecked: data[2] & 1 == 0) {
        calls.withLock { calls in
            calls += 1
            return calls < 1000
        }
    }
    if let use = try? reader.spaceUse(options) { check(use, source.lengthInBytes) }
    calls.withLock { $0 = 0 }
    let lost = [0..<min(source.lengthInBytes, 4096), source.lengthInBytes / 2..<source.lengthInBytes]
    let content = LostContent.find(in: lost, of: source, type: reader.kind.rawValue, goesOn: options.goesOn) ?? []
    precondition(content.count <= LostContent.maximumCount + 2, "more owners than are kept apart")
    return 0
}

/// Reads names and files from the root on.
private func walk(_ reader: any FileSystemReader) {
    var waiting = [reader.root]
    var seen: Set<FileID> = [reader.root]
    var room = 100
    while let directory = waiting.popLast(), room > 0 {
        guard let entries = try? reader.entries(of: directory) else { continue }
        for entry in entries.prefix(50) where seen.insert(entry.id).inserted && room > 0 {
            room -= 1
            guard let status = try? reader.status(of: entry.id) else { continue }
            switch status.type {
            case .directory: waiting.append(entry.id)
            case .symbolicLink: _ = try? reader.linkTarget(of: entry.id)
            case .file, .other: read(reader, status)
            }
        }
        _ = try? reader.find("no such name", in: directory)
        if let first = entries.first { _ = try? reader.find(first.name, in: directory) }
    }
}

private func read(_ reader: any FileSystemReader, _ status: FileStatus) {
    for offset in [0, status.sizeInBytes / 2, status.sizeInBytes - 1, status.sizeInBytes] {
        guard let bytes = try? reader.content(of: status.id, at: offset, count: 20_000) else { continue }
        precondition(bytes.count <= 20_000, "more than was asked for")
    }
}

private func check(_ use: SpaceUse, _ length: Int64) {
    for run in use.free.ranges.prefix(10_000) {
        precondition(
            run.lowerBound >= 0 && run.lowerBound < run.upperBound && run.upperBound <= length,
            "free space outside the volume")
    }
}
