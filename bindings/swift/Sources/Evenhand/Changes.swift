/// What has changed in a client: see `Client.changes`.
public enum Change: String, Sendable {
    /// Another manifest is in use.
    case manifest
    /// The server has not confirmed the manifest for `staleAfterMs`.
    case stale
    /// Confirmed again, after it was stale or denied.
    case fresh
    /// The server denies the manifest: a wrong key or address. `Client.denial` says why.
    case denied
    /// The client was closed; nothing follows.
    case closed
}

/// Compares what a client is with what it was, whenever its loop has done something; without listeners, nothing.
final class Changes: Sendable {
    /// What is compared.
    struct Compared: Sendable {
        let snapshots: UInt64
        let confirmations: UInt64
        let stale: Bool
        let closed: Bool
    }

    private struct State {
        var listeners: [Int: AsyncStream<Change>.Continuation] = [:]
        var count = 0
        var seen: Compared?
        var denials = 0
        var deniedUntilHeard = false
        var denial: String?
    }

    private let state = Guarded(State())

    /// The server's last word on why there is no manifest.
    var denial: String? { state.withLock(\.denial) }

    func deny(_ message: String) {
        state.withLock { state in
            state.denial = message
            state.denials += 1
        }
    }

    /// What changes from now on.
    func watch(_ compared: () -> Compared?) -> AsyncStream<Change> {
        let (stream, continuation) = AsyncStream.makeStream(of: Change.self)
        let id: Int? = state.withLock { state in
            let now = compared()
            if now?.closed ?? false { return nil }
            if state.listeners.isEmpty {
                state.seen = now
                state.denials = 0
                state.deniedUntilHeard = false
            }
            state.count += 1
            state.listeners[state.count] = continuation
            return state.count
        }
        guard let id else {
            continuation.finish()
            return stream
        }
        // Weak: whoever has the stream may outlive the client.
        continuation.onTermination = { [weak self] _ in self?.state.withLock { state in _ = state.listeners.removeValue(forKey: id) } }
        return stream
    }

    func look(_ compared: () -> Compared?) {
        let over = state.withLock { state -> [AsyncStream<Change>.Continuation] in
            // Compared and told under the lock, so that of two threads none tells of what the other has.
            guard !state.listeners.isEmpty, let now = compared() else { return [] }
            let changes = state.seen.map { Self.between($0, now, &state) } ?? []
            state.seen = now
            for change in changes { for listener in state.listeners.values { listener.yield(change) } }
            return now.closed ? Array(state.listeners.values) : []
        }
        // Calls `onTermination`, which takes the lock.
        for listener in over { listener.finish() }
    }

    private static func between(_ before: Compared, _ now: Compared, _ state: inout State) -> [Change] {
        var changes: [Change] = []
        let denied = state.denials > 0
        state.denials = 0
        let another = now.snapshots != before.snapshots
        let heard = another || now.confirmations != before.confirmations
        if another { changes.append(.manifest) }
        if (before.stale && !now.stale) || (state.deniedUntilHeard && heard) { changes.append(.fresh) }
        if heard { state.deniedUntilHeard = false }
        if denied, !state.deniedUntilHeard {
            state.deniedUntilHeard = true
            changes.append(.denied)
        }
        if now.stale, !before.stale { changes.append(.stale) }
        if now.closed, !before.closed { changes.append(.closed) }
        return changes
    }
}
