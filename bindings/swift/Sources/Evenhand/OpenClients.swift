import Foundation

/// Clients that are open when the process ends.
enum OpenClients {
    private struct Weak: Sendable {
        weak var core: ClientCore?
    }

    /// What the end of a process may be held up for.
    private static let patienceMs = 2_000
    private static let open = Guarded<[ObjectIdentifier: Weak]>([:])
    private static let listening: Void = {
        atexit { OpenClients.closeAll() }
    }()

    /// When the process ends by itself (`main` returns, or `exit`), what is queued is sent first, and the spool written.
    static func add(_ core: ClientCore) {
        _ = listening
        open.withLock { $0[ObjectIdentifier(core)] = Weak(core: core) }
    }

    static func forget(_ core: ClientCore) { open.withLock { $0[ObjectIdentifier(core)] = nil } }

    private static func closeAll() {
        let cores = open.withLock { $0.values.compactMap(\.core) }
        for core in cores { core.beginClose(timeoutMs: patienceMs) }
        let until = DispatchTime.now() + .milliseconds(patienceMs + 1_000)
        for core in cores where core.closed.wait(timeout: until) == .timedOut { core.writeSpoolNow() }
    }
}
