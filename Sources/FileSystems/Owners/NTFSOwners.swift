// SPDX-License-Identifier: GPL-3.0-or-later

/// Tells what of NTFS lies where something cannot be read: by the runs of every record of the master file table.
enum NTFSOwners {
    /// What the first records are; the fifth is the root directory.
    private static let names = [
        "$MFT", "$MFTMirr", "$LogFile", "$Volume", "$AttrDef", "", "$Bitmap", "$Boot", "$BadClus", "$Secure",
        "$UpCase", "$Extend",
    ]
    private static let pieceLength = 1 << 20

    /// Looks for the owners of what `search` wants.
    static func search(_ volume: VolumeBytes, _ search: inout OwnerSearch) {
        guard let geometry = try? NTFSGeometry(volume) else {
            search.add(0..<512, .structure("boot sector"))
            return search.miss()
        }
        guard let table = try? NTFSTable(volume) else {
            let start = geometry.tableCluster * geometry.clusterSize
            search.add(start..<start + Int64(16 * geometry.recordSize), .structure("$MFT"))
            return search.miss()
        }
        search.add(geometry.lengthInBytes..<volume.lengthInBytes, .structure("copy of the boot sector"))
        let size = geometry.recordSize
        let perPiece = UInt64(pieceLength / size)
        var first: UInt64 = 0
        while first < table.recordCount, search.goesOn() {
            let records = Int(min(perPiece, table.recordCount - first))
            let piece = try? table.data.read(
                records * size, at: Int64(first) * Int64(size), table.bytes, geometry)
            for index in 0..<records where search.goesOn() {
                let number = first + UInt64(index)
                if let piece {
                    add(piece[index * size..<(index + 1) * size], number, geometry, &search)
                } else if let one = try? table.data.read(size, at: Int64(number) * Int64(size), table.bytes, geometry) {
                    add(one[...], number, geometry, &search)
                } else {
                    search.miss()
                }
            }
            first += UInt64(records)
        }
    }

    /// Gives what a record's attributes use to it, or to the record that it continues.
    private static func add(
        _ raw: ArraySlice<UInt8>, _ number: UInt64, _ geometry: NTFSGeometry, _ search: inout OwnerSearch
    ) {
        // A place that never held a record, or one that is not in use.
        guard raw.starts(with: [0x46, 0x49, 0x4c, 0x45]), raw[raw.startIndex + 22] & 1 != 0 else { return }
        guard let record = try? NTFSRecord(raw, number: number, geometry), let attributes = try? record.attributes()
        else { return search.miss() }
        let owner = record.isExtension ? record.base : number
        for attribute in attributes where !attribute.isResident {
            guard let runs = try? attribute.runs(geometry) else {
                search.miss()
                continue
            }
            for run in runs {
                guard let cluster = run.cluster else { continue }
                search.add(geometry.bytes(cluster, run.length), self.owner(owner, attribute.type))
            }
        }
    }

    private static func owner(_ record: UInt64, _ type: UInt32) -> SpaceOwner {
        if record < UInt64(names.count), record != 5 { return .structure(names[Int(record)]) }
        switch type {
        case NTFSAttribute.data: return .content(record, isDirectory: false)
        case NTFSAttribute.indexAllocation: return .content(record, isDirectory: true)
        case NTFSAttribute.list: return .beside(record, "list of attributes")
        default: return .beside(record, "attribute 0x\(hexadecimal(type, width: 2))")
        }
    }
}
