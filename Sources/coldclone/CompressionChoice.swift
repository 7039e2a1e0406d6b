// SPDX-License-Identifier: GPL-3.0-or-later

internal import ArgumentParser
internal import DiskImage

/// What `--compression` asks for.
enum CompressionChoice: ExpressibleByArgument, Sendable, Hashable {
    /// Compress every cluster that shrinks, or none.
    case fixed(ImageCompression)
    /// Compress while the target is what everything waits for.
    case auto

    init?(argument: String) {
        if argument == "auto" {
            self = .auto
        } else if let compression = ImageCompression(rawValue: argument) {
            self = .fixed(compression)
        } else {
            return nil
        }
    }

    static var allValueStrings: [String] { ImageCompression.allCases.map(\.rawValue) + ["auto"] }
    var defaultValueDescription: String { self == .auto ? "auto" : compression.rawValue }

    /// How clusters are compressed when they are.
    var compression: ImageCompression {
        switch self {
        case .fixed(let compression): return compression
        case .auto: return .zstd
        }
    }
}
