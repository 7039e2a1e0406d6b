// SPDX-License-Identifier: GPL-3.0-or-later

internal import BlockIO
public import CloneFormat
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import HummingbirdTLS
internal import Logging
internal import NIOCore
internal import NIOSSL

/// The receiver as a service: gives machines their jobs, verifies their clones, and answers with receipts.
///
/// HTTP/1.1 over TLS only, and nothing without the token.
public struct ReceiverService: Sendable {
    /// How to serve.
    public struct Options: Sendable, Hashable {
        /// IP address to listen on.
        public var address: String
        /// TCP port to listen on; 0 for any that is free.
        public var port: Int
        /// Threads that check images; nil means one a processor.
        public var jobs: Int?
        /// Whether every verification is told of on standard error, not only what goes wrong.
        public var isTalkative = false

        /// Makes options.
        public init(address: String = "0.0.0.0", port: Int = ReceiverService.defaultPort, jobs: Int? = nil) {
            self.address = address
            self.port = port
            self.jobs = jobs
        }
    }

    /// Port of a receiver that was told none.
    public static let defaultPort = 8642
    /// Most connections at the same time.
    static let connectionLimit = 256

    private let store: CloneStore
    private let state: ServiceState
    private let shelf: JobShelf?
    private let token: AccessToken
    private let identity: ServerIdentity
    private let program: Program
    private let options: Options

    /// Prepares the service of the clones in `store`.
    ///
    /// - Parameter jobs: what machines are given; nil for nothing.
    public init(
        store: CloneStore, state: ServiceState, jobs: JobShelf?, token: AccessToken, identity: ServerIdentity,
        program: Program, options: Options = Options()
    ) {
        self.store = store
        self.state = state
        shelf = jobs
        self.token = token
        self.identity = identity
        self.program = program
        self.options = options
    }

    /// Serves until SIGINT or SIGTERM; `onReady` gets the port as soon as it is open.
    ///
    /// - Throws: `ReceiverError` when the port cannot be opened.
    public func run(onReady: @escaping @Sendable (Int) -> Void) async throws(ReceiverError) {
        var logger = Logger(label: program.name)
        logger.logLevel = options.isTalkative ? .info : .warning
        let queue = VerificationQueue(
            store, state, CloneReceiver(program: program, options: .init(jobs: options.jobs)), logger)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: identity.certificates.map { .certificate($0) }, privateKey: .privateKey(identity.key))
        configuration.minimumTLSVersion = .tlsv12
        do {
            var application = Application(
                router: router(queue),
                server: try .tls(
                    .http1(
                        configuration: .init(
                            idleTimeout: .seconds(30),
                            httpDecoderConfiguration: .init(
                                maxHeaderFieldSize: 8 << 10, maxHeaderListSize: 16 << 10, maxHeaderFieldCount: 100))),
                    tlsConfiguration: configuration),
                configuration: ApplicationConfiguration(
                    address: .hostname(options.address, port: options.port), serverName: program.name,
                    availableConnectionsDelegate: MaximumAvailableConnections(Self.connectionLimit)),
                onServerRunning: { channel in onReady(channel.localAddress?.port ?? 0) }, logger: logger)
            application.addServices(queue)
            try await application.runService()
        } catch {
            throw .setup(
                "cannot serve at \(options.address) port \(options.port): \(error)",
                hint: "name another --listen ADDRESS:PORT")
        }
    }

    private func router(_ queue: VerificationQueue) -> Router<BasicRequestContext> {
        let router = Router()
        router.middlewares.add(TokenGuard(token: token))
        let api = ReceiverAPI(store: store, state: state, shelf: shelf, queue: queue)
        let routes = router.group("api/v1")
        routes.get("job") { request, _ in try api.job(for: request) }
        routes.get("clones") { _, _ in try api.clones() }
        routes.post("clones/:id/verify") { _, context in try await api.verify(context.parameters.get("id")) }
        routes.get("clones/:id/receipt") { request, context in
            try await api.receipt(context.parameters.get("id"), for: request)
        }
        return router
    }
}

/// Lets nothing through that does not show the token, not even the question whether a path exists.
private struct TokenGuard: RouterMiddleware {
    let token: AccessToken

    func handle(
        _ request: Request, context: BasicRequestContext,
        next: (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        guard token.admits(authorization: request.headers[.authorization]) else {
            var response = ReceiverAPI.answer(.unauthorized, error: "the token is missing or wrong")
            response.headers[.wwwAuthenticate] = "Bearer"
            return response
        }
        return try await next(request, context)
    }
}
