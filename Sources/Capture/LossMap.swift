// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import DiskLayout
internal import FileSystems

/// Tells what lies where a disk could not be read.
enum LossMap {
    /// Returns the volumes of `places` that `unreadable` ranges lie in, in their order, and last what lies in none.
    static func losses(_ unreadable: [ByteRange], in places: [VolumePlace]) -> [LossRecord]? {
        guard !unreadable.isEmpty, !places.isEmpty else { return nil }
        var lost: [(volume: String, length: Int64)] = []
        var elsewhere: Int64 = 0
        for bad in unreadable {
            let range = bad.offset..<bad.offset + bad.length
            var covered: [Range<Int64>] = []
            for place in places {
                let part = place.range.clamped(to: range)
                guard !part.isEmpty else { continue }
                covered.append(part)
                let length = part.upperBound - part.lowerBound
                if let index = lost.firstIndex(where: { $0.volume == place.volume }) {
                    lost[index].length += length
                } else {
                    lost.append((place.volume, length))
                }
            }
            elsewhere += bad.length - union(covered)
        }
        let records = lost.map { LossRecord(volume: $0.volume, lengthInBytes: $0.length) }
        return records + (elsewhere > 0 ? [LossRecord(volume: nil, lengthInBytes: elsewhere)] : [])
    }

    /// Returns `records` with what volumes and files lost by what is unreadable of `disks`, in that order.
    ///
    /// Everything readable is safe by now, and the bad places are not touched again. What cannot be told stays untold.
    /// - Parameter goesOn: called now and then; false ends the search with what was found.
    static func tell(
        _ records: [DiskRecord], of disks: [CaptureDisk], goesOn: @escaping @Sendable () -> Bool
    ) -> [DiskRecord] {
        guard records.count == disks.count, records.contains(where: { !$0.unreadable.isEmpty }) else { return records }
        let lost = records.map { $0.unreadable.map { $0.offset..<$0.offset + $0.length } }
        guard let survey = try? LossSurvey(disks.map(\.source), lost: lost, goesOn: goesOn) else { return records }
        return records.indices.map { index in
            var record = records[index]
            guard !record.unreadable.isEmpty else { return record }
            // Nobody looked where everything is kept.
            record.losses = record.losses ?? losses(record.unreadable, in: survey.places[index])
            for volume in survey.volumes[index] { record.losses = add(volume, to: record.losses ?? []) }
            return record
        }
    }

    private static func add(_ volume: LossSurvey.Volume, to losses: [LossRecord]) -> [LossRecord] {
        let content = volume.content.prefix(LossRecord.maximumContent).map {
            LostContentRecord(
                kind: $0.kind.rawValue, path: $0.path, detail: $0.detail, lengthInBytes: $0.lengthInBytes)
        }
        var losses = losses
        if let index = losses.firstIndex(where: { $0.volume == volume.name }) {
            losses[index].type = volume.type
            losses[index].content = content
            return losses
        }
        // A file system without a partition around it: it lies in no volume but the disk itself.
        if let index = losses.firstIndex(where: { $0.volume == nil }) {
            losses[index].lengthInBytes -= volume.lengthInBytes
            if losses[index].lengthInBytes <= 0 { losses.remove(at: index) }
        }
        return losses + [
            LossRecord(
                volume: volume.name, type: volume.type, lengthInBytes: volume.lengthInBytes, content: content)
        ]
    }

    private static func union(_ ranges: [Range<Int64>]) -> Int64 {
        var end = Int64.min
        var total: Int64 = 0
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where range.upperBound > end {
            total += range.upperBound - max(range.lowerBound, end)
            end = range.upperBound
        }
        return total
    }
}
