internal import EvenhandNative
import Foundation

/// A manifest to begin with.
public enum Bootstrap: Sendable {
    case data(Data)
    case file(URL)
}

/// What a client is made with, beside address and key. Times are milliseconds; the numbers' defaults and limits stand in
/// docs/contract/session.md, "Options". One that is nil has its default.
public struct ClientOptions: Sendable {
    /// The publisher's Ed25519 public keys by key id, base64url. With any, only manifests signed by one of them are taken.
    public var keys: [String: String] = [:]
    /// Refuse manifests of other environments.
    public var environment: String?
    /// Refuse manifests made for others.
    public var audience: Audience?
    /// Hear of changes by push. Set it to false with a client key: only server and sidecar keys may.
    public var stream = true
    /// A manifest to begin with.
    public var bootstrap: Bootstrap?
    /// A file that keeps the manifest and undelivered events for the next start. Several clients and processes may share it.
    public var spool: URL?
    /// Where sticky assignments are kept. Without one there are none.
    public var stickyStore: (any StickyStore)?
    /// Variations by flag, for tests.
    public var overrides: [String: String] = [:]
    /// Where the client tells what happens to it.
    public var logger: any ClientLogger = DefaultLogger()
    /// What a request may take.
    public var timeoutMs = 10_000

    /// Between two polls while no stream is open (60,000; from 1,000).
    public var pollIntervalMs: Int?
    /// Between two polls while a stream is open (600,000).
    public var streamPollIntervalMs: Int?
    /// Over which the fetches after an announcement are spread (250).
    public var announceJitterMs: Int?
    /// Before the first retry; doubled for each further one (1,000).
    public var backoffBaseMs: Int?
    /// That the doubling ends at (60,000).
    public var backoffMaxMs: Int?
    /// Before a denial (401, 403, 404, …) is tried again (300,000).
    public var deniedRetryMs: Int?
    /// That a server's `Retry-After` is honoured for at most (300,000).
    public var retryAfterMaxMs: Int?
    /// After which a request without end counts as failed (120,000).
    public var reportTimeoutMs: Int?
    /// Without confirmation by the server after which the manifest is called stale (600,000).
    public var staleAfterMs: Int?
    /// Exposures remembered, so that they are not sent again; 0 sends every one (50,000).
    public var dedupeCapacity: Int?
    /// That an exposure is remembered (3,600,000).
    public var dedupeTtlMs: Int?
    /// Events held at most; beyond it the oldest are dropped and counted (10,000).
    public var queueMaxEvents: Int?
    /// Bytes of events held at most (8,388,608).
    public var queueMaxBytes: Int?
    /// Events of one batch (500).
    public var batchMaxEvents: Int?
    /// Bytes of one batch (524,288).
    public var batchMaxBytes: Int?
    /// An event waits so long for others (5,000).
    public var flushIntervalMs: Int?

    public init() {}

    /// The numbers: the session's name, ours, and what was given.
    private var numbers: [(session: String, ours: String, value: Int?)] {
        [
            ("poll_interval_ms", "pollIntervalMs", pollIntervalMs),
            ("stream_poll_interval_ms", "streamPollIntervalMs", streamPollIntervalMs),
            ("announce_jitter_ms", "announceJitterMs", announceJitterMs),
            ("backoff_base_ms", "backoffBaseMs", backoffBaseMs),
            ("backoff_max_ms", "backoffMaxMs", backoffMaxMs),
            ("denied_retry_ms", "deniedRetryMs", deniedRetryMs),
            ("retry_after_max_ms", "retryAfterMaxMs", retryAfterMaxMs),
            ("report_timeout_ms", "reportTimeoutMs", reportTimeoutMs),
            ("stale_after_ms", "staleAfterMs", staleAfterMs),
            ("dedupe_capacity", "dedupeCapacity", dedupeCapacity),
            ("dedupe_ttl_ms", "dedupeTtlMs", dedupeTtlMs),
            ("queue_max_events", "queueMaxEvents", queueMaxEvents),
            ("queue_max_bytes", "queueMaxBytes", queueMaxBytes),
            ("batch_max_events", "batchMaxEvents", batchMaxEvents),
            ("batch_max_bytes", "batchMaxBytes", batchMaxBytes),
            ("flush_interval_ms", "flushIntervalMs", flushIntervalMs),
        ]
    }

    /// The session of these options.
    /// - Throws: `EvenhandError` for a key or a number that can't be right, in the names of this type.
    func opened() throws(EvenhandError) -> NativeSession {
        var chosen: [String: UInt64] = [:]
        for (session, ours, value) in numbers {
            guard let value else { continue }
            guard value >= 0 else { throw EvenhandError(code: "invalid", message: "`\(ours)` is \(value): give it a whole number from 0 up, or leave it out") }
            chosen[session] = UInt64(value)
        }
        guard timeoutMs > 0 else { throw EvenhandError(code: "invalid", message: "`timeoutMs` is \(timeoutMs): give a request at least 1 millisecond") }
        let settings = SessionSettings(
            engine: EngineSettings(keys: keys, environment: environment, audience: audience?.rawValue),
            sdk: sdk, fetch: true, stream: stream, numbers: chosen)
        do {
            return try NativeSession(settings: settings, entropy: entropy(), nowMs: nowMs())
        } catch {
            let found = EvenhandError(error)
            let text = numbers.reduce(found.message) { $0.replacingOccurrences(of: "`\($1.session)`", with: "`\($1.ours)`") }
            throw EvenhandError(code: found.code, message: text)
        }
    }
}

/// 16 bytes of the system's randomness.
func entropy() -> Data {
    var system = SystemRandomNumberGenerator()
    return withUnsafeBytes(of: (system.next(), system.next())) { Data($0) }
}
