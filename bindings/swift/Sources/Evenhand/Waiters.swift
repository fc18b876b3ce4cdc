import Foundation

/// Tasks that wait for something to hold.
final class Waiters: Sendable {
    /// One task; resumed once, whoever is first: the change, the clock, or the task's cancellation.
    private final class Waiter: Sendable {
        let holds: @Sendable () -> Bool
        private let state: Guarded<(continuation: CheckedContinuation<Bool, Never>?, answer: Bool?)> = Guarded((nil, nil))

        init(_ holds: @escaping @Sendable () -> Bool) { self.holds = holds }

        func wait(_ continuation: CheckedContinuation<Bool, Never>) {
            let answer: Bool? = state.withLock { state in
                if state.answer == nil { state.continuation = continuation }
                return state.answer
            }
            if let answer { continuation.resume(returning: answer) }
        }

        func end(_ answer: Bool) {
            let waiting = state.withLock { state in
                if state.answer == nil { state.answer = answer }
                defer { state.continuation = nil }
                return state.continuation
            }
            waiting?.resume(returning: answer)
        }
    }

    private let waiting = Guarded<[ObjectIdentifier: Waiter]>([:])

    /// Whether it holds within the time. `never` says that it will not any more; a task that is cancelled stops waiting.
    func until(_ timeoutMs: Int, never: @escaping @Sendable () -> Bool, _ holds: @escaping @Sendable () -> Bool) async -> Bool {
        if holds() { return true }
        let waiter = Waiter(holds)
        let id = ObjectIdentifier(waiter)
        waiting.withLock { $0[id] = waiter }
        let timer = DispatchSource.makeTimerSource()
        timer.setEventHandler { waiter.end(holds()) }
        timer.schedule(deadline: .now() + .milliseconds(max(0, timeoutMs)))
        timer.activate()
        // What changed before the waiter was in place.
        if holds() { waiter.end(true) } else if never() { waiter.end(false) }
        let answer = await withTaskCancellationHandler {
            await withCheckedContinuation { waiter.wait($0) }
        } onCancel: {
            waiter.end(false)
        }
        timer.cancel()
        waiting.withLock { $0[id] = nil }
        return answer
    }

    /// After a change. With `never`, whoever waits still waits in vain.
    func look(never: Bool) {
        for waiter in waiting.withLock({ Array($0.values) }) {
            if waiter.holds() { waiter.end(true) } else if never { waiter.end(false) }
        }
    }
}
