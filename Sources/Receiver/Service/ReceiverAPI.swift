// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
internal import CloneFormat
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// What the service answers to each request.
struct ReceiverAPI: Sendable {
    let store: CloneStore
    let state: ServiceState
    let shelf: JobShelf?
    let queue: VerificationQueue

    /// `GET /api/v1/job?serial=…&uuid=…&mac=…`: the machine's job, YAML; 404 for none.
    func job(for request: Request) throws -> Response {
        let query = request.uri.queryParameters
        let machine = JobShelf.Machine(
            serial: query["serial"].map { String($0) }, uuid: query["uuid"].map { String($0) },
            macAddresses: query.getAll("mac").map { String($0) })
        do throws(ReceiverError) {
            guard let job = try shelf?.job(of: machine) else {
                return Self.answer(.notFound, error: "there is no job for this machine")
            }
            return Response(
                status: .ok, headers: [.contentType: "application/yaml", .cacheControl: "no-store"],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: job)))
        } catch {
            return Self.answer(.internalServerError, error: error.description)
        }
    }

    /// `GET /api/v1/clones`: every clone, whether it is complete, and the verdict.
    func clones() throws -> Response {
        do throws(ReceiverError) {
            let entries = try store.names().map { id in
                let receipt = state.receipt(of: id)
                return CloneStore.Entry(
                    cloneId: id, isComplete: store.path(of: id).map(CloneStore.isComplete) ?? false,
                    verdict: receipt?.verdict, verifiedAt: receipt?.finishedAt)
            }
            return Self.answer(.ok, entries)
        } catch {
            return Self.answer(.internalServerError, error: error.description)
        }
    }

    /// `POST /api/v1/clones/<id>/verify`: 202 and the clone is read again; 409 while it has no manifest.
    func verify(_ id: String?) async throws -> Response {
        guard let id, let path = store.path(of: id) else { return Self.unknownClone }
        guard CloneStore.isComplete(path) else {
            return Self.answer(.conflict, error: "the clone has no manifest: it is not complete")
        }
        do throws(ReceiverError) {
            guard try await queue.add(id) else {
                return Self.answer(.serviceUnavailable, error: "too many clones wait for their verification")
            }
            return Self.answer(.accepted, ["state": "waiting"])
        } catch {
            return Self.answer(.internalServerError, error: error.description)
        }
    }

    /// Longest time that an answer is held back, in seconds.
    static let longestWait = 300

    /// `GET /api/v1/clones/<id>/receipt?wait=SECONDS`: the receipt; 404 while there is none, 409 when there will be none.
    ///
    /// With `wait`, the answer comes when the verification ends, or after that time.
    func receipt(_ id: String?, for request: Request) async throws -> Response {
        guard let id, store.path(of: id) != nil else { return Self.unknownClone }
        if let seconds = request.uri.queryParameters["wait"].flatMap({ Int($0) }), seconds > 0 {
            await queue.wait(for: id, atMost: .seconds(min(seconds, Self.longestWait)))
        }
        switch await queue.state(of: id) {
        case .waiting: return Self.answer(.notFound, error: "the clone waits for its verification")
        case .running: return Self.answer(.notFound, error: "the clone is being verified")
        case .failed(let reason): return Self.answer(.conflict, error: reason)
        case nil: break
        }
        guard let receipt = state.receipt(of: id) else {
            return Self.answer(.notFound, error: "nobody asked for its verification yet")
        }
        return Self.answer(.ok, receipt)
    }

    private static var unknownClone: Response { answer(.notFound, error: "there is no such clone") }

    /// Returns an answer that says what is wrong, `{"error": …}`.
    static func answer(_ status: HTTPResponse.Status, error: String) -> Response {
        answer(status, ["error": error])
    }

    private static func answer(_ status: HTTPResponse.Status, _ value: some Encodable) -> Response {
        guard let bytes = try? JSONText.encode(value, compact: true) else {
            return Response(status: .internalServerError)
        }
        return Response(
            status: status, headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}
