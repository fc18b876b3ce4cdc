import Foundation

/// A request, as it goes out.
struct Request: Sendable {
    let method: String
    let url: String
    let headers: [String: String]
    let body: Data?
}

/// What comes of a request, in this order; an end comes once.
enum TransportEvent: Sendable {
    case answered(status: Int, etag: String?, retryAfter: String?)
    /// A piece of the body, unpacked.
    case heard(Data)
    /// The whole answer has come, or this went wrong.
    case ended((any Error)?)
}

/// Carries requests. Called on the client's queue, and tells on it. Redirects are not followed; how long is not its to say.
protocol Transport: AnyObject {
    /// The answer names the request.
    func begin(_ request: Request, _ tell: @escaping @Sendable (TransportEvent) -> Void) -> Int
    /// Ends a request. What it has told by then may still come.
    func cancel(_ request: Int)
    /// Ends all.
    func close()
}

/// The transport of this system. On Linux that is libcurl by itself: FoundationNetworking, which stands on it too, ends the whole process at
/// an answer 401 whose `WWW-Authenticate` is a bare word (seen with Swift 6.0.3).
func systemTransport(_ queue: DispatchQueue) -> any Transport {
    #if os(Linux) && !EVENHAND_URLSESSION
    CurlTransport(queue)
    #else
    URLSessionTransport(queue)
    #endif
}
