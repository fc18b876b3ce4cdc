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
    /// What could not be given up yet.
    private final class Retired {
        let values: [Unmanaged<Value>]
        init(_ values: [Unmanaged<Value>]) { self.values = values }
    }

    /// The reference, and `Retired`.
    private let references: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    /// How many readers are at it, and the owner's `mark`.
    private let numbers: UnsafeMutablePointer<Int64>

    init(_ value: Value?) {
        // One piece of memory: contexts are made by the million.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 32, alignment: 16)
        references = memory.bindMemory(to: UnsafeMutableRawPointer?.self, capacity: 2)
        references.initialize(to: value.map { Unmanaged.passRetained($0).toOpaque() })
        (references + 1).initialize(to: nil)
        numbers = (memory + 16).bindMemory(to: Int64.self, capacity: 2)
        numbers.initialize(repeating: 0, count: 2)
    }

    /// The reference, retained.
    @inline(__always)
    var value: Value? {
        _ = evenhand_number_add(numbers, 1)
        let found = evenhand_pointer_load(references).map { Unmanaged<Value>.fromOpaque($0).takeUnretainedValue() }
        _ = evenhand_number_add(numbers, -1)
        return found
    }

    /// Puts a number beside the reference; the answer is the one before.
    @inline(__always)
    func mark(_ number: Int64) -> Int64 { evenhand_number_exchange(numbers + 1, number) }

    func replace(_ value: Value?) {
        replacing.withLock {
            var old = retired()
            if let one = evenhand_pointer_exchange(references, value.map { Unmanaged.passRetained($0).toOpaque() }) { old.append(.fromOpaque(one)) }
            for _ in 0..<1_000 {
                if evenhand_number_load(numbers) == 0 {
                    for one in old { one.release() }
                    return
                }
                sched_yield()
            }
            // Readers who never leave a gap: it is tried again with the next replacement.
            references[1] = Unmanaged.passRetained(Retired(old)).toOpaque()
        }
    }

    private func retired() -> [Unmanaged<Value>] {
        defer { references[1] = nil }
        return references[1].map { Unmanaged<Retired>.fromOpaque($0).takeRetainedValue().values } ?? []
    }

    /// The end: nobody may read any more.
    func destroy() {
        if let value = references[0] { Unmanaged<Value>.fromOpaque(value).release() }
        for one in retired() { one.release() }
        UnsafeMutableRawPointer(references).deallocate()
    }
}

/// Replacements are rare: one lock serves them all.
private let replacing = NSRecursiveLock()

/// A number that many threads change.
final class Counter: @unchecked Sendable {
    private let place: UnsafeMutablePointer<Int64>

    init(_ value: Int64 = 0) {
        place = .allocate(capacity: 1)
        place.initialize(to: value)
    }

    deinit { place.deallocate() }

    @inline(__always)
    var value: Int64 { evenhand_number_load(place) }

    /// The answer is the number before.
    @inline(__always) @discardableResult
    func add(_ number: Int64) -> Int64 { evenhand_number_add(place, number) }

    @discardableResult
    func exchange(_ number: Int64) -> Int64 { evenhand_number_exchange(place, number) }
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
