// SPDX-License-Identifier: GPL-3.0-or-later

public import BlockIO

/// What an overlay's header says of the image behind it.
public struct BackingName: Sendable, Hashable {
    /// Longest name, in bytes.
    ///
    /// qemu docs/interop/qcow2.
    static let maximumLength = 1023

    /// The file's name, relative to the overlay's folder.
    public var file: String
    /// The format that it is opened as: never guessed from its content, which a guest could have written.
    public var format: ImageFormat

    /// Makes a name.
    public init(file: String, format: ImageFormat) {
        self.file = file
        self.format = format
    }
}

/// The opened image behind an overlay, and the name that the overlay must know it by.
///
/// A reader opens no file that an image names: whoever knows what must stand there opens it, and the name is compared.
public struct BackingImage: Sendable {
    /// What the overlay's header must say.
    public var name: BackingName
    /// The guest's view of the backing image.
    public var content: any BlockSource

    /// Makes a backing image.
    public init(name: BackingName, content: any BlockSource) {
        self.name = name
        self.content = content
    }
}

/// What a chunk of a unit is in the image behind an overlay.
public enum BackingState: Sendable, Hashable {
    /// Bytes that one state is of.
    public static let length = 1 << 20

    /// The same content, zeros included: nothing is to be stored.
    case equal
    /// Zeros, where the unit has content.
    case zero
    /// Other content: zeros of the unit must be noted as such.
    case different
}
