#if os(Linux)
internal import EvenhandFFI
import Foundation
import Glibc

/// Requests by libcurl, on one thread of this transport, which begins with the first request and ends with `close`.
///
/// `close` waits for the thread's end. A process that ended meanwhile would run the clean-up of libcurl's TLS library beside a thread that
/// still uses it, which is a crash at exit.
final class CurlTransport: Transport, @unchecked Sendable {
    /// How long `close` waits for the thread, which may be held up by a name being looked up; at its end it hangs in that, harmlessly.
    private static let lastWordsMs = 1_000

    private enum Command: Sendable {
        case begin(Int, Request, @Sendable (TransportEvent) -> Void)
        case cancel(Int)
        case close

        var isClose: Bool {
            if case .close = self { true } else { false }
        }
    }

    private struct State: @unchecked Sendable {
        var commands: [Command] = []
        var begun = false
        /// Of the thread while it runs, to wake it.
        var multi: UnsafeMutableRawPointer?
    }

    private let queue: DispatchQueue
    private let state = Guarded(State())
    /// Used on the queue only.
    private var thread: pthread_t?
    /// Signalled when the thread has nothing more to do with libcurl.
    private let ended = DispatchSemaphore(value: 0)
    private var count = 0

    init(_ queue: DispatchQueue) { self.queue = queue }

    func begin(_ request: Request, _ tell: @escaping @Sendable (TransportEvent) -> Void) -> Int {
        count += 1
        send(.begin(count, request, tell))
        return count
    }

    func cancel(_ request: Int) { send(.cancel(request)) }
    func close() {
        send(.close)
        guard let thread else { return }
        self.thread = nil
        if ended.wait(timeout: .now() + .milliseconds(Self.lastWordsMs)) == .success { pthread_join(thread, nil) } else { pthread_detach(thread) }
    }

    private func send(_ command: Command) {
        let begins = state.withLock { state in
            // Without a thread there is nothing to end.
            if case .begin = command {} else if !state.begun { return false }
            state.commands.append(command)
            if let multi = state.multi { _ = Curl.loaded?.multiWakeup(multi) }
            defer { state.begun = true }
            return !state.begun
        }
        if begins { start() }
    }

    private func start() {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, 512 * 1_024)
        defer { pthread_attr_destroy(&attributes) }
        var thread = pthread_t()
        let me = Unmanaged.passRetained(self)
        let failed = pthread_create(
            &thread, &attributes,
            { of in
                Thread.current.name = "evenhand"
                let transport = Unmanaged<CurlTransport>.fromOpaque(of!).takeRetainedValue()
                transport.run()
                transport.ended.signal()
                return nil
            }, me.toOpaque())
        guard failed == 0 else {
            me.release()
            // The next request tries again.
            return refuse(state.withLock { state in
                state.begun = false
                defer { state.commands = [] }
                return state.commands
            }, "no thread can be started: \(String(cString: strerror(failed)))")
        }
        self.thread = thread
    }

    // MARK: - The thread

    private func run() {
        // Signals are the application's; a connection that breaks must not raise one here.
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, nil)
        guard let curl = Curl.loaded, let multi = curl.multiInit() else { return refuseAll() }
        state.withLock { $0.multi = multi }
        var transfers: [Int: Transfer] = [:]
        defer {
            state.withLock { $0.multi = nil }
            for transfer in transfers.values { transfer.remove(from: multi) }
            _ = curl.multiCleanup(multi)
        }
        while true {
            for command in state.withLock({ state in
                defer { state.commands = [] }
                return state.commands
            }) {
                switch command {
                case .begin(let id, let request, let tell):
                    if let transfer = Transfer(curl, request, queue, tell), transfer.add(to: multi) {
                        transfers[id] = transfer
                    } else {
                        queue.async { tell(.ended(NoAnswer("libcurl refuses the request"))) }
                    }
                case .cancel(let id): transfers.removeValue(forKey: id)?.remove(from: multi)
                case .close: return
                }
            }
            var running: Int32 = 0
            _ = curl.multiPerform(multi, &running)
            var left: Int32 = 0
            while let message = curl.multiRead(multi, &left)?.assumingMemoryBound(to: evenhand_curl_message.self).pointee {
                guard message.message == 1, let (id, transfer) = transfers.first(where: { $0.value.easy == message.easy }) else { continue }
                transfers[id] = nil
                transfer.end(message.data.result)
                transfer.remove(from: multi)
            }
            _ = curl.multiPoll(multi, nil, 0, 60_000, nil)
        }
    }

    /// There is no libcurl: every request fails, which is told, and decisions go on.
    private func refuseAll() {
        while true {
            let commands = state.withLock { state in
                defer { state.commands = [] }
                return state.commands
            }
            refuse(commands, "there is no libcurl.so.4 of 7.68 or later: install it (Debian: libcurl4, Fedora: libcurl)")
            if commands.contains(where: \.isClose) { return }
            usleep(100_000)
        }
    }

    private func refuse(_ commands: [Command], _ why: String) {
        for case .begin(_, _, let tell) in commands { queue.async { tell(.ended(NoAnswer(why))) } }
    }
}

/// One request of the thread.
private final class Transfer {
    let easy: UnsafeMutableRawPointer
    private let curl: Curl
    private let queue: DispatchQueue
    private let tell: @Sendable (TransportEvent) -> Void
    private var headers: UnsafeMutableRawPointer?
    private let said: UnsafeMutablePointer<CChar>
    private var etag: String?
    private var retryAfter: String?
    private var answered = false

    init?(_ curl: Curl, _ request: Request, _ queue: DispatchQueue, _ tell: @escaping @Sendable (TransportEvent) -> Void) {
        guard let easy = curl.easyInit() else { return nil }
        self.easy = easy
        self.curl = curl
        self.queue = queue
        self.tell = tell
        said = .allocate(capacity: 256)
        said.initialize(repeating: 0, count: 256)
        for (name, value) in request.headers { headers = curl.listAppend(headers, "\(name): \(value)") ?? headers }
        // A large body is sent without asking first.
        headers = curl.listAppend(headers, "Expect:") ?? headers
        set(EVENHAND_CURLOPT_NOSIGNAL, 1)
        // HTTP and HTTPS; the bits are curl's.
        set(EVENHAND_CURLOPT_PROTOCOLS, 3)
        set(EVENHAND_CURLOPT_ERRORBUFFER, said)
        request.url.withCString { set(EVENHAND_CURLOPT_URL, $0) }
        request.method.withCString { set(EVENHAND_CURLOPT_CUSTOMREQUEST, $0) }
        // Whatever curl can unpack.
        "".withCString { set(EVENHAND_CURLOPT_ACCEPT_ENCODING, $0) }
        set(EVENHAND_CURLOPT_HTTPHEADER, headers)
        if let body = request.body {
            _ = evenhand_curl_set_size(curl.setopt, easy, Int32(EVENHAND_CURLOPT_POSTFIELDSIZE_LARGE), Int64(body.count))
            body.withUnsafeBytes { bytes in
                // An empty body has no bytes to point at, and is a body all the same.
                if let base = bytes.baseAddress { set(EVENHAND_CURLOPT_COPYPOSTFIELDS, base) } else { "".withCString { set(EVENHAND_CURLOPT_COPYPOSTFIELDS, $0) } }
            }
        }
        let me = Unmanaged.passUnretained(self).toOpaque()
        set(EVENHAND_CURLOPT_HEADERDATA, me)
        set(EVENHAND_CURLOPT_WRITEDATA, me)
        _ = evenhand_curl_set_taker(curl.setopt, easy, Int32(EVENHAND_CURLOPT_HEADERFUNCTION)) { bytes, size, count, of in
            if let bytes, let of { Unmanaged<Transfer>.fromOpaque(of).takeUnretainedValue().header(UnsafeRawBufferPointer(start: bytes, count: size * count)) }
            return size * count
        }
        _ = evenhand_curl_set_taker(curl.setopt, easy, Int32(EVENHAND_CURLOPT_WRITEFUNCTION)) { bytes, size, count, of in
            if let bytes, let of { Unmanaged<Transfer>.fromOpaque(of).takeUnretainedValue().body(Data(bytes: bytes, count: size * count)) }
            return size * count
        }
    }

    deinit {
        curl.easyCleanup(easy)
        curl.listFree(headers)
        said.deallocate()
    }

    private func set(_ option: Int32, _ value: Int) { _ = evenhand_curl_set_number(curl.setopt, easy, option, value) }
    private func set(_ option: Int32, _ value: UnsafeRawPointer?) { _ = evenhand_curl_set_pointer(curl.setopt, easy, option, value) }

    func add(to multi: UnsafeMutableRawPointer) -> Bool { curl.multiAdd(multi, easy) == 0 }
    func remove(from multi: UnsafeMutableRawPointer) { _ = curl.multiRemove(multi, easy) }

    private func post(_ event: TransportEvent) {
        let tell = tell
        queue.async { tell(event) }
    }

    /// A line of the head. A head of 100 to 199 comes before the answer's own.
    private func header(_ line: UnsafeRawBufferPointer) {
        let text = String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        if text.isEmpty { return answer() }
        if text.hasPrefix("HTTP/") {
            (etag, retryAfter) = (nil, nil)
            return
        }
        guard let colon = text.firstIndex(of: ":") else { return }
        let value = text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        switch text[..<colon].lowercased() {
        case "etag": etag = value
        case "retry-after": retryAfter = value
        default: break
        }
    }

    private func answer() {
        let status = evenhand_curl_number(curl.getinfo, easy, EVENHAND_CURLINFO_RESPONSE_CODE)
        guard !answered, status >= 200 else { return }
        answered = true
        post(.answered(status: status, etag: etag, retryAfter: retryAfter))
    }

    private func body(_ bytes: Data) {
        answer()
        post(.heard(bytes))
    }

    func end(_ result: Int32) {
        guard result != 0 else {
            answer()
            return post(.ended(nil))
        }
        let text = String(cString: said)
        post(.ended(NoAnswer(text.isEmpty ? curl.easyError(result).map { String(cString: $0) } ?? "curl error \(result)" : text)))
    }
}
#endif
