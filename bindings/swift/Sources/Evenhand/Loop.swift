internal import EvenhandNative
import Foundation

/// Does what the session asks for and reports. It has no policy of its own: when to fetch, send and try again stands in
/// `core/session`.
final class Loop: @unchecked Sendable {
    /// After a fault of the loop itself.
    private static let recoveryMs: Int64 = 1_000
    /// A batch that is under way when the time of the end is up is waited for so long: its events would go a second time.
    private static let lastAnswerMs = 500

    let queue: DispatchQueue
    private let session: NativeSession
    private let server: Server
    private let logger: any ClientLogger
    private let timer: any DispatchSourceTimer
    private let kicked = Counter()
    private let over = Counter()
    private var closeStream: (() -> Void)?
    private var stream = 0
    private var sending = false
    private var lingering = false
    /// Called on the queue whenever something may have changed, and once at the end.
    private var changed: (() -> Void)?
    private var ended: (() -> Void)?

    init(_ session: NativeSession, _ server: Server, _ logger: any ClientLogger, queue: DispatchQueue) {
        self.session = session
        self.server = server
        self.logger = logger
        self.queue = queue
        timer = DispatchSource.makeTimerSource(queue: queue)
    }

    func begin(changed: @escaping () -> Void, ended: @escaping () -> Void) {
        self.changed = changed
        self.ended = ended
        timer.setEventHandler { [weak self] in self?.pump() }
        timer.schedule(deadline: .distantFuture)
        timer.activate()
        kick()
    }

    /// Whether the session is done.
    var isOver: Bool { over.value != 0 }

    /// Asks the session soon; never inside the caller.
    func kick() {
        guard kicked.exchange(1) == 0 else { return }
        queue.async { [self] in
            kicked.exchange(0)
            pump()
        }
    }

    private func pump() {
        guard !isOver, !lingering else { return }
        do {
            asking: while true {
                switch try session.next(nowMs: nowMs()) {
                case .wait(let untilMs):
                    sleep(untilMs - nowMs())
                    break asking
                case .done:
                    end()
                    break asking
                case let action:
                    perform(action)
                }
            }
        } catch {
            // The loop outlives whatever went wrong in one step; an action without report lapses in the session.
            logger.tell(.error, "fault", "a step of the client failed: \(EvenhandError(error).message)")
            sleep(Self.recoveryMs)
        }
        changed?()
    }

    private func sleep(_ ms: Int64) { timer.schedule(deadline: .now() + .milliseconds(Int(max(0, ms))), leeway: .milliseconds(1)) }

    private func end() {
        guard sending else { return finish() }
        lingering = true
        queue.asyncAfter(deadline: .now() + .milliseconds(Self.lastAnswerMs)) { [self] in finish() }
    }

    /// The end, whatever the session thinks.
    func finish() {
        guard over.exchange(1) == 0 else { return }
        timer.cancel()
        closeStream?()
        closeStream = nil
        server.close()
        ended?()
        changed?()
        changed = nil
        ended = nil
    }

    private func report(_ call: () throws -> Void) {
        do {
            try call()
        } catch {
            logger.tell(.error, "fault", "a report to the session failed: \(EvenhandError(error).message)")
        }
        if !isOver { kick() }
    }

    private func perform(_ action: NextAction) {
        let session = session
        switch action {
        case .fetchManifest(let ticket, let etag):
            server.ask("GET", "/v1/manifest/\(server.keyInPath)", ["If-None-Match": etag]) { [self] result in
                report {
                    switch result {
                    case .success(let answer):
                        try session.manifestResponse(
                            ticket: ticket, status: answer.status, etag: answer.etag, retryAfter: answer.retryAfter, body: answer.body, nowMs: nowMs())
                    case .failure(let error): try session.fetchFailed(ticket: ticket, text: message(error), nowMs: nowMs())
                    }
                }
            }
        case .fetchList(let ticket, let sha256):
            server.ask("GET", "/v1/lists/\(sha256)", [:]) { [self] result in
                report {
                    switch result {
                    case .success(let answer):
                        try session.listResponse(ticket: ticket, status: answer.status, retryAfter: answer.retryAfter, body: answer.body, nowMs: nowMs())
                    case .failure(let error): try session.fetchFailed(ticket: ticket, text: message(error), nowMs: nowMs())
                    }
                }
            }
        case .sendEvents(let ticket, let contentType, let body, _):
            sending = true
            server.ask("POST", "/v1/events", ["Content-Type": contentType], body: body) { [self] result in
                sending = false
                report {
                    switch result {
                    case .success(let answer):
                        try session.batchResponse(ticket: ticket, status: answer.status, retryAfter: answer.retryAfter, body: answer.body, nowMs: nowMs())
                    case .failure(let error): try session.batchFailed(ticket: ticket, text: message(error), nowMs: nowMs())
                    }
                }
                if lingering { finish() }
            }
        case .openStream(let ticket, let lastEventId, let idleTimeoutMs):
            openStream(ticket, lastEventId, Int(idleTimeoutMs))
        case .wait, .done: break
        }
    }

    private func openStream(_ ticket: UInt64, _ lastEventId: String?, _ idleTimeoutMs: Int) {
        let session = session
        // One that was never answered has lapsed in the session, but may still be open here.
        closeStream?()
        stream += 1
        let mine = stream
        var answered = false
        closeStream = server.stream("/v1/manifest/stream", ["Last-Event-ID": lastEventId], idleTimeoutMs: idleTimeoutMs) { [self] event in
            switch event {
            case .answered(let status, let retryAfter):
                answered = true
                report { try session.streamResponse(ticket: ticket, status: status, retryAfter: retryAfter, nowMs: nowMs()) }
            case .heard(let bytes):
                report { try session.streamBytes(ticket: ticket, bytes: bytes, nowMs: nowMs()) }
            case .ended(let error):
                if stream == mine { closeStream = nil }
                report {
                    if answered {
                        try session.streamClosed(ticket: ticket, nowMs: nowMs())
                    } else {
                        try session.fetchFailed(ticket: ticket, text: error.map(message) ?? "the connection was closed", nowMs: nowMs())
                    }
                }
            }
        }
    }
}
