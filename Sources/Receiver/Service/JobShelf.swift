// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat

/// The jobs that machines are given: YAML files, each named after the machine it is for.
public struct JobShelf: Sendable {
    /// What a machine says of itself.
    public struct Machine: Sendable, Hashable {
        /// DMI serial number.
        public var serial: String?
        /// DMI UUID.
        public var uuid: String?
        /// MAC addresses of its interfaces, in any of the usual forms.
        public var macAddresses: [String]

        /// Makes a machine's names.
        public init(serial: String? = nil, uuid: String? = nil, macAddresses: [String] = []) {
            self.serial = serial
            self.uuid = uuid
            self.macAddresses = macAddresses
        }

        /// File names, the most specific first: serial, UUID, MAC addresses, and what is for all.
        var fileNames: [String] {
            let addresses = macAddresses.prefix(64).map { $0.lowercased().map { $0 == ":" ? "-" : $0 } }
            let names = [serial, uuid?.lowercased()].compactMap { $0 } + addresses.map { String($0) }
            return (names + ["default"]).filter(FileName.isSafe).map { "\($0).yaml" }
        }
    }

    /// Most bytes a job has.
    public static let jobLimit = 1 << 20

    private let folder: String

    /// Takes the folder of the jobs, which must exist.
    ///
    /// - Throws: `ReceiverError` when it is no folder that can be read.
    public init(folder: String) throws(ReceiverError) {
        do throws(BlockError) { _ = try Folder.names(in: folder) } catch { throw .io(error) }
        self.folder = folder
    }

    /// Returns the job of `machine` as it stands in its file; nil for none.
    ///
    /// - Throws: `ReceiverError` when there is one that cannot be read.
    public func job(of machine: Machine) throws(ReceiverError) -> [UInt8]? {
        guard let name = machine.fileNames.first(where: { Folder.exists("\(folder)/\($0)") }) else { return nil }
        do throws(BlockError) {
            return try SmallFile.read("\(folder)/\(name)", limit: Self.jobLimit)
        } catch {
            throw .io(error)
        }
    }
}
