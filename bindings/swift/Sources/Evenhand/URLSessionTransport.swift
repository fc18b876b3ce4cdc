#if !os(Linux) || EVENHAND_URLSESSION
import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Requests by URLSession, whose callbacks come on the client's queue.
final class URLSessionTransport: NSObject, Transport, @unchecked Sendable {
    private let queue: DispatchQueue
    private var session: URLSession?
    private var requests: [Int: (task: URLSessionDataTask, tell: @Sendable (TransportEvent) -> Void, answered: Bool)] = [:]

    init(_ queue: DispatchQueue) { self.queue = queue }

    private func opened() -> URLSession {
        if let session { return session }
        let configuration = URLSessionConfiguration.ephemeral
        configuration.urlCache = nil
        configuration.requestCachePolicy = .reloadIgnoringLocalCacheData
        configuration.httpCookieStorage = nil
        configuration.httpCookieAcceptPolicy = .never
        configuration.httpShouldSetCookies = false
        configuration.urlCredentialStorage = nil
        configuration.httpMaximumConnectionsPerHost = 8
        // How long is the server's to say (`Server`).
        configuration.timeoutIntervalForRequest = 86_400
        let callbacks = OperationQueue()
        callbacks.maxConcurrentOperationCount = 1
        callbacks.underlyingQueue = queue
        let session = URLSession(configuration: configuration, delegate: self, delegateQueue: callbacks)
        self.session = session
        return session
    }

    func begin(_ request: Request, _ tell: @escaping @Sendable (TransportEvent) -> Void) -> Int {
        guard let url = URL(string: request.url) else {
            queue.async { tell(.ended(NoAnswer("\(request.url) is no address"))) }
            return -1
        }
        var asked = URLRequest(url: url)
        asked.httpMethod = request.method
        asked.httpBody = request.body
        asked.timeoutInterval = 86_400
        for (name, value) in request.headers { asked.setValue(value, forHTTPHeaderField: name) }
        let task = opened().dataTask(with: asked)
        requests[task.taskIdentifier] = (task, tell, false)
        task.resume()
        return task.taskIdentifier
    }

    func cancel(_ request: Int) { requests.removeValue(forKey: request)?.task.cancel() }

    func close() {
        requests = [:]
        session?.invalidateAndCancel()
        session = nil
    }

    private func take(_ head: URLResponse?, of id: Int) {
        guard let request = requests[id], !request.answered, let head = head as? HTTPURLResponse else { return }
        requests[id]?.answered = true
        request.tell(
            .answered(status: head.statusCode, etag: head.value(forHTTPHeaderField: "ETag"), retryAfter: head.value(forHTTPHeaderField: "Retry-After")))
    }
}

extension URLSessionTransport: URLSessionDataDelegate {
    func urlSession(
        _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
        completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
    ) {
        take(response, of: dataTask.taskIdentifier)
        completionHandler(.allow)
    }

    func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        take(dataTask.response, of: dataTask.taskIdentifier)
        requests[dataTask.taskIdentifier]?.tell(.heard(data))
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        // An answer without a body may not have been told before.
        if error == nil { take(task.response, of: task.taskIdentifier) }
        requests.removeValue(forKey: task.taskIdentifier)?.tell(.ended(error))
    }

    /// The key is for the server that was named.
    func urlSession(
        _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse, newRequest request: URLRequest,
        completionHandler: @escaping @Sendable (URLRequest?) -> Void
    ) {
        completionHandler(nil)
    }
}
#endif
