internal import EvenhandFFI
import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// A reference that many threads read, without a lock, while another replaces it. Its owner destroys it.
///
/// A reader announces itself, loads and retains; whoever replaces the reference gives the old one up only when it has seen a moment
/// without readers, which are at it for a few instructions.
struct Cell<Value: AnyObject>: @unchecked Sendable {
    private struct Memory {
        var value: UnsafeMutableRawPointer?
        var readers: Int64
        /// For the owner: see `mark`.
        var mark: Int64
        /// What could not be given up yet; touched under `replacing`.
        var retired: [Unmanaged<Value>]
    }

    private let memory: UnsafeMutablePointer<Memory>

    init(_ value: Value?) {
        memory = .allocate(capacity: 1)
        memory.initialize(to: Memory(value: value.map { Unmanaged.passRetained($0).toOpaque() }, readers: 0, mark: 0, retired: []))
    }

    /// The reference, retained.
    @inline(__always)
    var value: Value? {
        _ = evenhand_number_add(&memory.pointee.readers, 1)
        let found = evenhand_pointer_load(&memory.pointee.value).map { Unmanaged<Value>.fromOpaque($0).takeUnretainedValue() }
        _ = evenhand_number_add(&memory.pointee.readers, -1)
        return found
    }

    /// Puts a number beside the reference; the answer is the one before.
    @inline(__always)
    func mark(_ number: Int64) -> Int64 {
        evenhand_number_exchange(&memory.pointee.mark, number)
    }

    func replace(_ value: Value?) {
        replacing.withLock {
            let next = value.map { Unmanaged.passRetained($0).toOpaque() }
            if let old = evenhand_pointer_exchange(&memory.pointee.value, next) {
                memory.pointee.retired.append(Unmanaged<Value>.fromOpaque(old))
            }
            // Where readers never leave a gap, it is tried again with the next replacement.
            for _ in 0..<1_000 {
                guard evenhand_number_load(&memory.pointee.readers) == 0 else {
                    sched_yield()
                    continue
                }
                let gone = memory.pointee.retired
                memory.pointee.retired = []
                for one in gone { one.release() }
                return
            }
        }
    }

    /// The end: nobody may read any more.
    func destroy() {
        if let value = memory.pointee.value { Unmanaged<Value>.fromOpaque(value).release() }
        for one in memory.pointee.retired { one.release() }
        memory.deinitialize(count: 1)
        memory.deallocate()
    }
}

/// Replacements are rare: one lock serves them all.
private let replacing = NSRecursiveLock()

/// A number that many threads change.
struct Counter: @unchecked Sendable {
    private let place: UnsafeMutablePointer<Int64>

    init(_ value: Int64 = 0) {
        place = .allocate(capacity: 1)
        place.initialize(to: value)
    }

    @inline(__always)
    var value: Int64 { evenhand_number_load(place) }

    /// The answer is the number before.
    @inline(__always) @discardableResult
    func add(_ number: Int64) -> Int64 { evenhand_number_add(place, number) }

    @discardableResult
    func exchange(_ number: Int64) -> Int64 { evenhand_number_exchange(place, number) }

    func destroy() { place.deallocate() }
}

/// State behind a lock, for all that is not on the path of every decision.
final class Guarded<State>: @unchecked Sendable {
    private let lock = NSLock()
    private var state: State

    init(_ state: State) { self.state = state }

    func withLock<Answer>(_ body: (inout State) throws -> Answer) rethrows -> Answer {
        lock.lock()
        defer { lock.unlock() }
        return try body(&state)
    }
}
