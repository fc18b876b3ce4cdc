internal import EvenhandNative
import Foundation

/// An event's own number.
public enum EventValue: Sendable, Hashable, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral {
    case number(Double)
    /// Exact, as decimal text with at most 6 digits behind the point.
    case decimal(String)

    public init(floatLiteral value: Double) { self = .number(value) }
    public init(integerLiteral value: Int64) { self = .decimal(String(value)) }
    public init(stringLiteral value: String) { self = .decimal(value) }
    /// Exact.
    public init(_ value: Decimal) { self = .decimal("\(value)") }
}

/// Decides locally, sends exposures and events, and keeps the manifest up to date.
///
/// Made at once: await `ready()` for the first manifest, or decide right away and get your defaults with reason NOT_READY.
/// Decisions throw nothing and never wait. Any thread or task may use it at any time. An open client does not keep the process alive; when
/// the process ends by itself, what is queued is sent first. One that the application lets go of closes itself.
public final class Client: Sendable {
    private let core: ClientCore
    private let store: (any StickyStore)?
    private let overrides: Guarded<[String: String]>
    /// Whether there are any: the lock is not for the path of every decision.
    private let overridden: Counter
    private let evaluations = Counter()
    private let error = Guarded<(any Error)?>(nil)

    /// - Parameters:
    ///   - url: the server's address, such as `https://flags.example.com`.
    ///   - key: the environment's server key (or client key; then set `options.stream` to false).
    /// - Throws: `EvenhandError` for an address, a key or a number that can't be right. All else is told to the logger.
    public init(url: String, key: String, options: ClientOptions = ClientOptions()) throws {
        core = try ClientCore(url: url, key: key, options)
        store = options.stickyStore
        overrides = Guarded(options.overrides)
        overridden = Counter(options.overrides.isEmpty ? 0 : 1)
    }

    deinit { core.beginClose(timeoutMs: 2_000) }

    // MARK: - Decisions

    /// Evaluates a flag. No exposure is queued (see `decide`, `expose`), and nothing thrown.
    /// - Parameters:
    ///   - now: milliseconds since 1970; the clock's when left out.
    ///   - type: what the caller expects: another gives TYPE_MISMATCH. An `int` flag may be asked for as `float`.
    public func evaluate(_ flag: String, _ context: Context, now: Int64? = nil, type: FlagType? = nil) -> Decision {
        evaluate(flag, context, now, type, session: nil)
    }

    /// Evaluates all flags of the manifest. No exposure is queued.
    public func evaluateAll(_ context: Context, now: Int64? = nil) -> Decisions {
        guard let snapshot = core.cell.value else { return Decisions() }
        do {
            let decisions = try snapshot.evaluateAll(enriched(context), now: now)
            evaluations.add(Int64(decisions.count))
            return decisions
        } catch {
            keep(error)
            return snapshot.failed(context)
        }
    }

    /// Evaluates a flag and queues its exposure. Nothing is thrown: whatever breaks, there is a decision and its reason.
    public func decide(_ flag: String, _ context: Context, now: Int64? = nil, type: FlagType? = nil) -> Decision {
        let open = core.gate.enter()
        let decision = evaluate(flag, context, now, type, session: open ? core.sessionPointer : nil)
        if open { core.gate.leave() }
        if let store, decision.reason == .split { keep(decision, in: store) }
        return decision
    }

    @inline(__always)
    private func evaluate(_ flag: String, _ context: Context, _ now: Int64?, _ type: FlagType?, session: UnsafeRawPointer?) -> Decision {
        guard let snapshot = core.cell.value else { return Decision(flag: flag, reason: .notReady, manifestVersion: nil) }
        do {
            var queued = false
            let context = store == nil && overridden.value == 0 ? context : enriched(context)
            let decision = try snapshot.evaluate(flag, context, now: now, type: type, session: session, queued: &queued)
            evaluations.add(1)
            if queued { core.notice() }
            return decision
        } catch {
            keep(error)
            return Decision(flag: flag, reason: .error, manifestVersion: snapshot.version)
        }
    }

    /// Queues the exposure of a decision that `evaluate` or `evaluateAll` made, unless the same was queued lately.
    public func expose(_ decision: Decision) {
        guard let origin = decision.origin, decision.hasExposure || !decision.holdoutExposures.isEmpty else { return }
        guard core.gate.enter() else {
            core.logger.tell(.error, "exposure_lost", "an exposure is lost: the client is closed; expose before you close it")
            return
        }
        let result = Result {
            try core.session.expose(context: origin.context.bound(to: origin.snapshot), flag: UInt32(origin.index), packed: decision.packed, nowMs: nowMs())
        }
        core.gate.leave()
        switch result {
        case .success(let queued): if queued > 0 { core.notice() }
        case .failure(let error):
            keep(error)
            core.logger.tell(.error, "exposure_lost", "an exposure is lost: \(EvenhandError(error).message)")
        }
    }

    /// Decides a `bool` flag: its value, or `fallback`.
    public func booleanValue(_ flag: String, _ context: Context, fallback: Bool, now: Int64? = nil) -> Bool {
        decide(flag, context, now: now, type: .bool).value?.boolValue ?? fallback
    }

    /// Decides a `string` flag: its value, or `fallback`.
    public func stringValue(_ flag: String, _ context: Context, fallback: String, now: Int64? = nil) -> String {
        decide(flag, context, now: now, type: .string).value?.stringValue ?? fallback
    }

    /// Decides an `int` flag: its value, or `fallback`.
    public func intValue(_ flag: String, _ context: Context, fallback: Int, now: Int64? = nil) -> Int {
        decide(flag, context, now: now, type: .int).value?.intValue ?? fallback
    }

    /// Decides a `float` or `int` flag: its value, or `fallback`.
    public func doubleValue(_ flag: String, _ context: Context, fallback: Double, now: Int64? = nil) -> Double {
        decide(flag, context, now: now, type: .float).value?.doubleValue ?? fallback
    }

    /// Decides a `json` flag: its value, or `fallback`.
    public func jsonValue(_ flag: String, _ context: Context, fallback: JSONValue, now: Int64? = nil) -> JSONValue {
        decide(flag, context, now: now, type: .json).value ?? fallback
    }

    /// A decision and how it came about: every rule, every step, every leaf. For people; its shape may grow.
    /// - Throws: `EvenhandError` with code `no_manifest` when there is none.
    public func explain(_ flag: String, _ context: Context, now: Int64? = nil) throws -> JSONValue {
        guard let snapshot = core.cell.value else {
            throw EvenhandError(code: "no_manifest", message: "there is no manifest to explain by yet: await ready() first")
        }
        return try native { try snapshot.explain(flag, enriched(context), now: now) }
    }

    // MARK: - Events

    /// Queues an event of the units in a context; its id. What the server would refuse is logged, counted, and gives nil; after `close` everything is.
    /// - Parameters:
    ///   - value: the event's own number; as text, and as a whole number, it is exact.
    ///   - properties: a JSON object.
    ///   - timestampMs: when it happened, in milliseconds since 1970; now when left out.
    @discardableResult
    public func track(
        _ name: String, _ context: Context, value: EventValue? = nil, properties: [String: JSONValue]? = nil, timestampMs: Int64? = nil
    ) -> String? {
        guard core.gate.enter() else {
            core.logger.tell(.error, "track_refused", "the event \"\(name)\" is not queued: the client is closed; track before you close it")
            return nil
        }
        let result = Result {
            var event = TrackedEvent(
                name: name, units: core.units(context.attributes), decimal: nil, number: nil,
                properties: try properties.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) }, timestampMs: timestampMs)
            switch value {
            case .number(let number): event.number = number
            case .decimal(let text): event.decimal = text
            case nil: break
            }
            return try core.session.track(event: event, nowMs: nowMs())
        }
        core.gate.leave()
        switch result {
        case .success(let id):
            core.notice()
            return id
        case .failure(let error):
            let why = error is EncodingError ? "its properties are no JSON: a number in them is not finite" : EvenhandError(error).message
            core.logger.tell(.error, "track_refused", "the event \"\(name)\" is not queued: \(why)")
            return nil
        }
    }

    /// For tests: forces a variation of a flag from now on; nil ends it.
    public func override(_ flag: String, _ variation: String?) {
        overrides.withLock { overrides in
            overrides[flag] = variation
            overridden.exchange(overrides.isEmpty ? 0 : 1)
        }
    }

    // MARK: - Sticky assignments, overrides

    /// The context with stored assignments and overrides; most clients have neither.
    private func enriched(_ context: Context) -> Context {
        if store == nil && overridden.value == 0 { return context }
        let forced = overrides.withLock { $0 }.merging(context.forced) { $1 }
        return Context(context.attributes, sticky: stored(context.attributes) + context.sticky, forced: forced)
    }

    private func stored(_ attributes: Attributes) -> [StickyRecord] {
        guard let store else { return [] }
        do {
            return try core.units(attributes).flatMap { of in
                let unit = try of.text ?? of.number.flatMap { try core.session.unitText(number: $0) }
                return try unit.map(store.load) ?? []
            }
        } catch {
            core.logger.tell(.error, "sticky_store", "the sticky store could not be read: \(message(error))")
            return []
        }
    }

    private func keep(_ decision: Decision, in store: any StickyStore) {
        do {
            guard let origin = decision.origin else { return }
            let context = try origin.context.bound(to: origin.snapshot)
            let row = try core.session.stickyRecord(context: context, flag: UInt32(origin.index), packed: decision.packed)
            if let row { try store.save(StickyRecord(row)) }
        } catch {
            core.logger.tell(.error, "sticky_store", "the sticky store could not be written: \(message(error))")
        }
    }

    // MARK: - The client itself

    /// Puts a manifest from elsewhere in use, until the server has a newer one.
    /// - Throws: `EvenhandError` when it is refused; the one in use stays.
    public func updateManifest(_ manifest: Data) throws { try core.updateManifest(manifest) }

    /// The manifest in use; nil when there is none.
    public var manifest: ManifestInfo? { core.cell.value.map(ManifestInfo.init) }

    /// The flags of the manifest in use.
    public func flags() -> [FlagInfo] { core.cell.value?.flags() ?? [] }

    /// The client in numbers.
    /// - Throws: `EvenhandError` after a fault inside the library only.
    public func telemetry() throws -> Telemetry {
        try native {
            try core.session.countEvaluations(evaluations: UInt64(evaluations.exchange(0)))
            return Telemetry(try core.session.telemetry(nowMs: nowMs()))
        }
    }

    /// How often an attribute that a rule asks for was there but unusable, by name; at most 1,000 names.
    public var unusableAttributes: [String: Int] { core.unusable.all }

    /// What was thrown behind the last decision with reason ERROR; nil when there was none.
    public var lastError: EvenhandError? { error.withLock { $0.map(EvenhandError.init) } }

    /// What changes from now on: `for await change in client.changes()`. Ends when the client is closed.
    public func changes() -> AsyncStream<Change> { core.changes() }

    /// Why the server denied the manifest when last it did, such as for a wrong key; nil when it never has.
    public var denial: String? { core.denial }

    /// Waits for the first manifest; false when it did not come in time, the client was closed, or the task cancelled.
    public func ready(timeoutMs: Int = 10_000) async -> Bool { await core.ready(timeoutMs: timeoutMs) }

    /// Sends what is queued now; false when the server did not take it in time, or the task was cancelled.
    public func flush(timeoutMs: Int = 10_000) async -> Bool { await core.flush(timeoutMs: timeoutMs) }

    /// Sends what is queued, ends all requests, and writes the spool. Decisions go on with the manifest held.
    public func close(timeoutMs: Int = 5_000) async { await core.close(timeoutMs: timeoutMs) }

    private func keep(_ thrown: any Error) { error.withLock { $0 = thrown } }
}
