#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Lets calls through until it is shut; shutting waits for those inside. So whatever was let in is seen by what comes after.
struct Gate: Sendable {
    private let inside = Counter()
    private let closed = Counter()

    /// False when it is shut; else `leave` has to follow.
    @inline(__always)
    func enter() -> Bool {
        inside.add(1)
        if closed.value == 0 { return true }
        inside.add(-1)
        return false
    }

    @inline(__always)
    func leave() { inside.add(-1) }

    /// Those inside are at it for microseconds.
    func shut() {
        closed.exchange(1)
        while inside.value != 0 { sched_yield() }
    }
}
