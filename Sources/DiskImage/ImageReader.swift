// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// An opened image: its guest's view as a source, and what is needed to judge the file itself.
public protocol ImageReader: BlockSource {
    /// The image's format.
    var format: ImageFormat { get }

    /// Returns the byte in the image file at which the cluster of guest byte `offset` is stored; nil when it is not
    /// stored, or for raw images.
    func clusterOffset(of offset: Int64) throws(BlockError) -> Int64?

    /// Returns the byte in the image file from which `count` guest bytes from `offset` are stored as they are, one behind
    /// the other; nil when they are not.
    func storedOffset(of offset: Int64, count: Int) throws(BlockError) -> Int64?

    /// Walks the image's own structures and reports every contradiction, as `qemu-img check` would.
    ///
    /// Returns nothing for a clean image and always for raw ones. `report` returns false to end the walk.
    func checkStructure(_ report: (StructureProblem) -> Bool) throws(BlockError)
}

/// A contradiction in an image's own structures.
public struct StructureProblem: Sendable, Hashable, CustomStringConvertible {
    /// Byte in the image file.
    public var fileOffset: Int64
    /// What is wrong there.
    public var reason: String

    /// Makes a problem.
    public init(fileOffset: Int64, reason: String) {
        self.fileOffset = fileOffset
        self.reason = reason
    }

    /// The message.
    public var description: String { "byte \(fileOffset): \(reason)" }
}

/// Opens image files.
public enum DiskImage {
    /// Opens the image in `file`, whose format is known from its manifest or the command line, never guessed.
    ///
    /// - Parameter backing: the image behind it, for an overlay; nil for an image that must stand alone.
    /// - Throws: `ImageError` for damage or features that are not supported.
    public static func open(
        _ file: any BlockSource, format: ImageFormat, backing: BackingImage? = nil
    ) throws(ImageError) -> any ImageReader {
        switch format {
        case .raw:
            guard backing == nil else { throw .damaged(path: file.name, offset: nil, reason: "it is no overlay") }
            return RawImageReader(file)
        case .qcow2: return try Qcow2Reader(file, backing: backing)
        }
    }
}
