// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import Subprocess

/// A second opinion on qcow2 images, of the program that will run them: qemu-img(1), `check`.
enum QemuImg {
    /// What it said.
    enum Opinion: Sendable, Hashable {
        case clean
        /// What is wrong, in its words.
        case failed(String)
        case notInstalled
        /// Nothing, because the caller asked to stop.
        case cancelled

        /// The word of a receipt.
        var word: String? {
            switch self {
            case .clean: return "clean"
            case .failed: return "failed"
            case .notInstalled: return "not installed"
            case .cancelled: return nil
            }
        }
    }

    /// Most bytes of its output that are read: an image of nothing but errors has a great many words.
    private static let outputLimit = 1 << 20
    /// Most characters of its words that are repeated.
    private static let wordLimit = 400

    private struct Answer: Decodable {
        enum CodingKeys: String, CodingKey {
            case corruptions, leaks
            case checkErrors = "check-errors"
        }
        var corruptions: Int?
        var leaks: Int?
        var checkErrors: Int?
    }

    /// Returns its opinion of the qcow2 image at `path`.
    static func check(_ path: String, cancellation: CancellationFlag) async -> Opinion {
        // Cancelling the task ends the program, and with it the asking.
        let asking = Task { await ask(path) }
        let action = cancellation.onCancel { asking.cancel() }
        defer { cancellation.removeAction(action) }
        let opinion = await asking.value
        return cancellation.isCancelled ? .cancelled : opinion
    }

    private static func ask(_ path: String) async -> Opinion {
        // Options, not a file name: a name with a colon would be taken for a protocol. A comma is doubled there.
        let name = path.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
        let image = "driver=qcow2,file.driver=file,file.filename=\(name)"
        do {
            let result = try await run(
                .name("qemu-img"), arguments: ["check", "--output=json", "--image-opts", image],
                environment: .inherit.updating(["LC_ALL": "C"]), output: .string(limit: outputLimit),
                error: .string(limit: outputLimit))
            if result.terminationStatus.isSuccess { return .clean }
            return .failed(
                words(status: "\(result.terminationStatus)", result.standardOutput, result.standardError))
        } catch let error as SubprocessError where error.code == .executableNotFound {
            return .notInstalled
        } catch {
            return .failed("its answer could not be read: \(error)")
        }
    }

    private static func words(status: String, _ output: String, _ errors: String) -> String {
        var parts: [String] = []
        if let answer: Answer = try? JSONText.decode(Array(output.utf8), file: "qemu-img") {
            if let count = answer.corruptions, count > 0 { parts.append("\(count) corruptions") }
            if let count = answer.leaks, count > 0 { parts.append("\(count) leaked clusters") }
            if let count = answer.checkErrors, count > 0 { parts.append("\(count) errors of the check") }
        }
        let lines = errors.split(whereSeparator: \.isNewline).joined(separator: "; ")
        if !lines.isEmpty { parts.append(String(lines.prefix(wordLimit))) }
        return parts.isEmpty ? "it ended with \(status)" : parts.joined(separator: ", ")
    }
}
