internal import EvenhandNative
import Foundation

/// What works behind a client. It lives until it has been closed, also when the application has let go of the client.
final class ClientCore: @unchecked Sendable {
    /// How often a spool that has changed is written.
    private static let spoolIntervalMs = 250

    let session: NativeSession
    /// For the hot path.
    let sessionPointer: UnsafeRawPointer?
    let logger: any ClientLogger
    /// The manifest in use.
    let cell: Cell<Snapshot>
    let unusable = UnusableCounts()
    private let told = Changes()
    /// Exposures and events go through it while somebody will send them, or write them into the spool.
    let gate = Gate()
    /// Signalled at the end.
    let closed = DispatchSemaphore(value: 0)
    private let loop: Loop
    private let waiters = Waiters()
    private let closing = Counter()
    private let ended = Counter()
    private let state: Guarded<(snapshots: UInt64, unitTypes: [Asked])>
    private var spool: SpoolFile?
    private let spoolQueue = DispatchQueue(label: "dev.evenhand.spool", qos: .utility)
    private let spoolAwaited = Counter()
    private var spoolMark = ""

    init(url: String, key: String, _ options: ClientOptions) throws(EvenhandError) {
        logger = options.logger
        let queue = DispatchQueue(label: "dev.evenhand.client", qos: .utility)
        let server = try Server(url: url, key: key, timeoutMs: options.timeoutMs, queue: queue)
        session = try options.opened()
        // After what may throw: its memory is freed by the deinitializer alone.
        cell = Cell(nil)
        sessionPointer = UnsafeRawPointer(bitPattern: UInt(session.address()))
        state = Guarded((0, Self.unitTypes(session)))
        loop = Loop(session, server, logger, queue: queue)
        if let bootstrap = options.bootstrap { take(bootstrap) }
        if let spool = options.spool { takeSpools(spool) }
        changed()
        OpenClients.add(self)
        // The loop holds this object, and this object the loop, until the end.
        loop.begin(changed: { [self] in changed() }, ended: { [self] in end() })
    }

    deinit { cell.destroy() }

    private static func unitTypes(_ session: NativeSession) -> [Asked] {
        ((try? session.unitTypes()) ?? []).enumerated().map { Asked(index: $0.offset, name: $0.element) }
    }

    // MARK: - Manifest

    private func take(_ bootstrap: Bootstrap) {
        do {
            let bytes: Data
            switch bootstrap {
            case .data(let data): bytes = data
            case .file(let url): bytes = try File(url.path, O_RDONLY).read(from: 0)
            }
            try session.updateManifest(manifest: bytes, nowMs: nowMs())
        } catch {
            // A client always begins: the server will have a manifest.
            logger.tell(.error, "bootstrap_ignored", "the bootstrap is not used: \(said(error))")
        }
    }

    func updateManifest(_ manifest: Data) throws(EvenhandError) {
        defer {
            changed()
            loop.kick()
        }
        try native { try session.updateManifest(manifest: manifest, nowMs: nowMs()) }
    }

    /// The units of a context, as the event has them.
    func units(_ attributes: Attributes) -> [TrackedUnit] {
        state.withLock(\.unitTypes).compactMap { type in
            guard let value = attributes.pairs.last(where: { type.isNamed($0.name) })?.value else { return nil }
            switch value {
            case .missing: return nil
            case .string(let text): return TrackedUnit(name: type.name, text: text, number: nil)
            case .int(let number): return TrackedUnit(name: type.name, text: nil, number: Double(number))
            case .double(let number): return TrackedUnit(name: type.name, text: nil, number: number)
            case .bool, .list, .unusable: return TrackedUnit(name: type.name, text: nil, number: nil)
            }
        }
    }

    /// After every step of the loop.
    private func changed() {
        do {
            try state.withLock { state in
                let snapshots = try session.snapshots()
                guard snapshots != state.snapshots else { return }
                if let native = try session.snapshot() { cell.replace(try Snapshot(native, unusable: unusable)) }
                state = (snapshots, Self.unitTypes(session))
            }
            for row in try session.takeDiagnostics() {
                logger.log(LogEntry(row))
                if row.code == "manifest_denied" { told.deny(row.text) }
            }
        } catch {
            logger.tell(.error, "fault", "a step of the client failed: \(said(error))")
        }
        told.look(compared)
        if spool != nil { writeSpoolSoon() }
        waiters.look(never: loop.isOver)
    }

    /// What changes from now on.
    func changes() -> AsyncStream<Change> { told.watch(compared) }

    var denial: String? { told.denial }

    private func compared() -> Changes.Compared? {
        guard let now = try? session.telemetry(nowMs: nowMs()) else { return nil }
        return Changes.Compared(snapshots: now.snapshots, confirmations: now.manifestConfirmations, stale: now.stale, closed: loop.isOver)
    }

    // MARK: - Waiting

    func ready(timeoutMs: Int) async -> Bool {
        await waiters.until(timeoutMs, never: { [self] in loop.isOver }) { [self] in cell.value != nil }
    }

    func flush(timeoutMs: Int) async -> Bool {
        guard let mark = try? session.flush(nowMs: nowMs()) else { return false }
        loop.kick()
        return await waiters.until(timeoutMs, never: { [self] in loop.isOver }) { [self] in (try? session.isFlushed(mark: mark)) ?? false }
    }

    func close(timeoutMs: Int) async {
        beginClose(timeoutMs: timeoutMs)
        // The end comes by itself; the limit is for a machine that stands still.
        _ = await waiters.until(Self.bounded(timeoutMs) + 10_000, never: { false }) { [self] in ended.value != 0 }
    }

    /// A time to wait that can be added to others: from 0 to a month.
    private static func bounded(_ timeoutMs: Int) -> Int { min(max(0, timeoutMs), 2_592_000_000) }

    /// Something was queued.
    func notice() {
        if spool != nil { writeSpoolSoon() }
        if (try? session.wakes()) ?? true { loop.kick() }
    }

    // MARK: - The end

    func beginClose(timeoutMs: Int) {
        guard closing.exchange(1) == 0 else { return }
        let now = nowMs()
        let timeoutMs = Self.bounded(timeoutMs)
        do {
            try session.shutdown(nowMs: now, deadlineMs: now + Int64(timeoutMs))
        } catch {
            logger.tell(.error, "fault", "the client could not be closed in order: \(said(error))")
        }
        loop.kick()
        loop.queue.asyncAfter(deadline: .now() + .milliseconds(timeoutMs + 1_000)) { [weak loop] in loop?.finish() }
    }

    /// The loop has ended.
    private func end() {
        // What came now would be held for ever: nobody sends it, and the spool is written.
        gate.shut()
        OpenClients.forget(self)
        if let spool {
            do {
                try spool.write { try session.spool() }
            } catch {
                spoolFailed(error)
            }
            spool.close(empty: (try? session.telemetry(nowMs: nowMs()).heldEvents) == 0)
        }
        ended.exchange(1)
        closed.signal()
    }

    // MARK: - Spool

    private func takeSpools(_ url: URL) {
        do {
            let spool = try SpoolFile(url)
            self.spool = spool
            try spool.found { content in
                _ = try session.restore(spool: content, entropy: entropy(), nowMs: nowMs())
                try spool.write { try session.spool() }
            }
        } catch {
            spoolFailed(error)
        }
    }

    private func writeSpoolSoon() {
        guard ended.value == 0, spoolAwaited.exchange(1) == 0 else { return }
        spoolQueue.asyncAfter(deadline: .now() + .milliseconds(Self.spoolIntervalMs)) { [self] in
            spoolAwaited.exchange(0)
            guard ended.value == 0 else { return }
            do {
                let mark = try session.spoolMark(nowMs: nowMs())
                guard mark != spoolMark else { return }
                spoolMark = mark
                try spool?.write { try session.spool() }
            } catch {
                spoolFailed(error)
            }
        }
    }

    /// For a process that ends now: nothing can be awaited any more.
    func writeSpoolNow() {
        do {
            try spool?.write { try session.spool() }
        } catch {
            spoolFailed(error)
        }
    }

    private func spoolFailed(_ error: any Error) { logger.tell(.error, "spool_failed", "the spool can't be used: \(said(error))") }

    private func said(_ error: any Error) -> String { error is NativeError ? EvenhandError(error).message : message(error) }
}
