import Foundation

/// What came back.
struct Answer {
    let status: UInt16
    let etag: String?
    let retryAfter: String?
    var body: Data
}

/// Why a request has no answer, where the system has no error for it.
struct NoAnswer: LocalizedError {
    let errorDescription: String?
    init(_ text: String) { errorDescription = text }
}

/// One server, asked with one key. Everything happens on the client's queue.
final class Server: @unchecked Sendable {
    /// No manifest and no id list is larger; more than this is no answer of an Evenhand server.
    private static let maxBodyBytes = 256 * 1_024 * 1_024

    let key: String
    private let base: String
    private let timeoutMs: Int
    private let queue: DispatchQueue
    private let transport: any Transport
    private var exchanges: [Int: Exchange] = [:]
    private var closed = false

    /// - Throws: `EvenhandError` for an address or a key that can't be right.
    init(url: String, key: String, timeoutMs: Int, queue: DispatchQueue) throws(EvenhandError) {
        guard let address = URLComponents(string: url), let scheme = address.scheme?.lowercased(), ["http", "https"].contains(scheme),
            let host = address.host, !host.isEmpty
        else { throw EvenhandError(code: "invalid", message: "`url` is \"\(url)\": give the server's address, such as https://flags.example.com") }
        guard !key.isEmpty, key.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw EvenhandError(code: "invalid", message: "`key` must be the environment's server or client key, printable ASCII without blanks")
        }
        var plain = address
        plain.query = nil
        plain.fragment = nil
        let text = plain.string ?? url
        base = text.hasSuffix("/") ? String(text.dropLast()) : text
        self.key = key
        self.timeoutMs = timeoutMs
        self.queue = queue
        transport = systemTransport(queue)
    }

    /// The key as a part of a path.
    var keyInPath: String { key.addingPercentEncoding(withAllowedCharacters: unreserved) ?? key }

    /// Asks once. There is a whole answer within the timeout, or an error.
    func ask(_ method: String, _ path: String, _ headers: [String: String?], body: Data? = nil, _ done: @escaping (Result<Answer, any Error>) -> Void) {
        var answer: Answer?
        begin(method, path, headers, body: body, patienceMs: timeoutMs, idle: false, "no answer within \(timeoutMs) ms") { event in
            switch event {
            case .answered(let status, let etag, let retryAfter):
                answer = Answer(status: UInt16(clamping: status), etag: etag, retryAfter: retryAfter, body: Data())
            case .heard(let bytes):
                answer?.body.append(bytes)
                guard let count = answer?.body.count, count > Self.maxBodyBytes else { return true }
                done(.failure(NoAnswer("the answer has more than \(Self.maxBodyBytes) bytes")))
                return false
            case .ended(let error):
                if let error { done(.failure(error)) } else { done(answer.map(Result.success) ?? .failure(NoAnswer("there was no answer"))) }
            }
            return true
        }
    }

    /// What a stream tells.
    enum StreamEvent {
        case answered(status: UInt16, retryAfter: String?)
        case heard(Data)
        /// The end, once; the error is nil when the server ended it.
        case ended((any Error)?)
    }

    /// Opens a stream; the answer closes it, and nothing more is told then.
    func stream(_ path: String, _ headers: [String: String?], idleTimeoutMs: Int, _ tell: @escaping (StreamEvent) -> Void) -> () -> Void {
        let headers = headers.merging(["Accept": "text/event-stream"]) { $1 }
        let exchange = begin("GET", path, headers, body: nil, patienceMs: idleTimeoutMs, idle: true, "nothing came for \(idleTimeoutMs) ms") { event in
            switch event {
            case .answered(let status, _, let retryAfter): tell(.answered(status: UInt16(clamping: status), retryAfter: retryAfter))
            case .heard(let bytes): tell(.heard(bytes))
            case .ended(let error): tell(.ended(error))
            }
            return true
        }
        return { [weak self] in self?.drop(exchange) }
    }

    /// Ends everything; nothing more is told.
    func close() {
        closed = true
        for exchange in Array(exchanges.values) { drop(exchange) }
        transport.close()
    }

    // MARK: - One exchange

    private final class Exchange {
        var request = 0
        let timer: any DispatchSourceTimer
        let patienceMs: Int
        /// Whether whatever comes begins the patience anew.
        let idle: Bool
        /// False ends it.
        let tell: (TransportEvent) -> Bool
        var over = false

        init(_ timer: any DispatchSourceTimer, patienceMs: Int, idle: Bool, _ tell: @escaping (TransportEvent) -> Bool) {
            self.timer = timer
            self.patienceMs = patienceMs
            self.idle = idle
            self.tell = tell
        }

        func wait() { timer.schedule(deadline: .now() + .milliseconds(patienceMs)) }
    }

    @discardableResult
    private func begin(
        _ method: String, _ path: String, _ headers: [String: String?], body: Data?, patienceMs: Int, idle: Bool, _ overdue: String,
        _ tell: @escaping (TransportEvent) -> Bool
    ) -> Exchange? {
        guard !closed else {
            _ = tell(.ended(NoAnswer("the client is closed")))
            return nil
        }
        let own = ["Authorization": "Bearer \(key)", "User-Agent": userAgent]
        let exchange = Exchange(DispatchSource.makeTimerSource(queue: queue), patienceMs: patienceMs, idle: idle, tell)
        exchange.timer.setEventHandler { [weak self, weak exchange] in
            if let exchange { self?.take(.ended(NoAnswer(overdue)), of: exchange) }
        }
        exchange.wait()
        exchange.timer.activate()
        let held = Held(exchange)
        let request = Request(method: method, url: base + path, headers: headers.compactMapValues { $0 }.merging(own) { $1 }, body: body)
        exchange.request = transport.begin(request) { [weak self] event in self?.take(event, of: held.exchange) }
        exchanges[exchange.request] = exchange
        return exchange
    }

    /// An exchange on its way through the transport, which only hands it back on the queue.
    private struct Held: @unchecked Sendable {
        let exchange: Exchange
        init(_ exchange: Exchange) { self.exchange = exchange }
    }

    private func take(_ event: TransportEvent, of exchange: Exchange) {
        guard !exchange.over else { return }
        if case .ended = event { drop(exchange) } else if exchange.idle { exchange.wait() }
        if !exchange.tell(event) { drop(exchange) }
    }

    private func drop(_ exchange: Exchange?) {
        guard let exchange, !exchange.over else { return }
        exchange.over = true
        exchanges[exchange.request] = nil
        exchange.timer.cancel()
        transport.cancel(exchange.request)
    }
}

private let unreserved = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()")
