import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

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
final class Server: NSObject, @unchecked Sendable {
    /// No manifest and no id list is larger; more than this is no answer of an Evenhand server.
    private static let maxBodyBytes = 256 * 1_024 * 1_024

    let key: String
    private let base: String
    private let timeoutMs: Int
    private let queue: DispatchQueue
    private var session: URLSession?
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
    }

    /// The key as a part of a path.
    var keyInPath: String { key.addingPercentEncoding(withAllowedCharacters: unreserved) ?? key }

    /// Asks once. There is a whole answer within the timeout, or an error.
    func ask(_ method: String, _ path: String, _ headers: [String: String?], body: Data? = nil, _ done: @escaping (Result<Answer, any Error>) -> Void) {
        var answer: Answer?
        let timeoutMs = timeoutMs
        begin(method, path, headers, body: body, patienceMs: timeoutMs, idle: false, "no answer within \(timeoutMs) ms") { event in
            switch event {
            case .answered(let head): answer = head
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
            case .answered(let head): tell(.answered(status: head.status, retryAfter: head.retryAfter))
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
        session?.invalidateAndCancel()
        session = nil
    }

    // MARK: - One exchange

    private enum Event {
        case answered(Answer)
        case heard(Data)
        case ended((any Error)?)
    }

    private final class Exchange {
        let task: URLSessionDataTask
        let timer: any DispatchSourceTimer
        let patienceMs: Int
        /// Whether whatever comes begins the patience anew.
        let idle: Bool
        /// False ends it.
        let tell: (Event) -> Bool
        var answered = false

        init(_ task: URLSessionDataTask, _ timer: any DispatchSourceTimer, patienceMs: Int, idle: Bool, _ tell: @escaping (Event) -> Bool) {
            self.task = task
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
        _ tell: @escaping (Event) -> Bool
    ) -> Exchange? {
        guard !closed, let url = URL(string: base + path) else {
            _ = tell(.ended(NoAnswer(closed ? "the client is closed" : "\(base + path) is no address")))
            return nil
        }
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.httpBody = body
        // How long is this type's to say.
        request.timeoutInterval = 86_400
        request.setValue("Bearer \(key)", forHTTPHeaderField: "Authorization")
        request.setValue(userAgent, forHTTPHeaderField: "User-Agent")
        for (name, value) in headers { if let value { request.setValue(value, forHTTPHeaderField: name) } }
        let session = session ?? opened()
        self.session = session
        let exchange = Exchange(session.dataTask(with: request), DispatchSource.makeTimerSource(queue: queue), patienceMs: patienceMs, idle: idle, tell)
        exchange.timer.setEventHandler { [weak self, weak exchange] in
            if let exchange { self?.end(exchange, NoAnswer(overdue)) }
        }
        exchange.wait()
        exchange.timer.activate()
        exchanges[exchange.task.taskIdentifier] = exchange
        exchange.task.resume()
        return exchange
    }

    private func opened() -> URLSession {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.urlCache = nil
        configuration.requestCachePolicy = .reloadIgnoringLocalCacheData
        configuration.httpCookieStorage = nil
        configuration.httpCookieAcceptPolicy = .never
        configuration.httpShouldSetCookies = false
        configuration.urlCredentialStorage = nil
        configuration.httpMaximumConnectionsPerHost = 8
        configuration.timeoutIntervalForRequest = 86_400
        let callbacks = OperationQueue()
        callbacks.maxConcurrentOperationCount = 1
        callbacks.underlyingQueue = queue
        return URLSession(configuration: configuration, delegate: self, delegateQueue: callbacks)
    }

    private func end(_ exchange: Exchange, _ error: (any Error)?) {
        guard exchanges[exchange.task.taskIdentifier] === exchange else { return }
        drop(exchange)
        _ = exchange.tell(.ended(error))
    }

    private func drop(_ exchange: Exchange?) {
        guard let exchange, exchanges[exchange.task.taskIdentifier] === exchange else { return }
        exchanges[exchange.task.taskIdentifier] = nil
        exchange.timer.cancel()
        exchange.task.cancel()
    }

    private func take(_ head: URLResponse?, of exchange: Exchange) {
        guard !exchange.answered, let head = head as? HTTPURLResponse else { return }
        exchange.answered = true
        let answer = Answer(
            status: UInt16(clamping: head.statusCode),
            etag: head.value(forHTTPHeaderField: "ETag"),
            retryAfter: head.value(forHTTPHeaderField: "Retry-After"),
            body: Data())
        if !exchange.tell(.answered(answer)) { drop(exchange) }
    }
}

extension Server: URLSessionDataDelegate {
    func urlSession(
        _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
        completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
    ) {
        if let exchange = exchanges[dataTask.taskIdentifier] {
            if exchange.idle { exchange.wait() }
            take(response, of: exchange)
        }
        completionHandler(.allow)
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        guard let exchange = exchanges[dataTask.taskIdentifier] else { return }
        if exchange.idle { exchange.wait() }
        take(dataTask.response, of: exchange)
        if !exchange.tell(.heard(data)) { drop(exchange) }
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        guard let exchange = exchanges[task.taskIdentifier] else { return }
        // An answer without a body may not have been told before.
        if error == nil { take(task.response, of: exchange) }
        end(exchange, error)
    }

    /// No redirect is followed: the key is for the server that was named. The session takes it for a denial.
    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse, newRequest request: URLRequest,
        completionHandler: @escaping @Sendable (URLRequest?) -> Void
    ) {
        completionHandler(nil)
    }
}

private let unreserved = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()")
