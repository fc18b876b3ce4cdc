internal import EvenhandFFI
internal import EvenhandNative
import Foundation

/// A compiled manifest with the tables its packed decisions are read with: one object, so that an update can't mix them.
final class Snapshot: @unchecked Sendable {
    /// Counts snapshots; a context knows by it which one it is bound to.
    private static let count = Counter()

    let id = Snapshot.count.add(1) + 1
    let version: UInt64
    let generation: UInt64
    let environment: String
    let attributes: [Asked]
    /// Keys of the flags, by their indices; hashed in an obfuscated manifest.
    let keys: [String]
    private let types: [FlagType?]
    private let indices: [ExactText: Int]
    /// Keys of an obfuscated manifest, which only the native half can hash, as they were asked for.
    private let hashed: Guarded<[ExactText: Int]>?
    private static let maxUnknown = 1_000
    private let native: NativeSnapshot
    private let pointer: UnsafeRawPointer
    /// Made when first asked for, and given up with the snapshot.
    private let tables: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    private let unusable: UnusableCounts

    init(_ native: NativeSnapshot, unusable: UnusableCounts) throws {
        let info = try native.info()
        guard let pointer = UnsafeRawPointer(bitPattern: UInt(native.address())) else {
            throw EvenhandError(code: "fault", message: "a snapshot has no address")
        }
        self.native = native
        self.pointer = pointer
        self.unusable = unusable
        version = info.version
        generation = info.generation
        environment = info.environment
        attributes = info.attributes.enumerated().map { Asked(index: $0.offset, name: $0.element) }
        keys = info.flags.map(\.key)
        types = info.flags.map { $0.valueType.map(FlagType.init) }
        indices = Dictionary(keys.enumerated().map { (ExactText($0.element), $0.offset) }) { first, _ in first }
        // A hash is hashed again when it is asked for, and is then no key.
        let obfuscated = try keys.first.map { try native.flagIndex(key: $0) != 0 } ?? false
        hashed = obfuscated ? Guarded([:]) : nil
        tables = .allocate(capacity: max(1, keys.count))
        tables.initialize(repeating: nil, count: max(1, keys.count))
    }

    deinit {
        for at in 0..<keys.count {
            if let table = tables[at] { Unmanaged<FlagTable>.fromOpaque(table).release() }
        }
        tables.deallocate()
    }

    /// The index of a flag by the key that an application asks for.
    @inline(__always)
    func index(_ key: String) -> Int? {
        guard let hashed else { return indices[ExactText(key)] }
        return index(of: key, in: hashed)
    }

    private func index(of key: String, in hashed: Guarded<[ExactText: Int]>) -> Int? {
        let asked = ExactText(key)
        if let known = hashed.withLock({ $0[asked] }) { return known < 0 ? nil : known }
        let found = Int((try? native.flagIndex(key: key)) ?? -1)
        hashed.withLock { known in
            // An application that asks for ever new unknown ones costs a call each, not memory.
            if found >= 0 || known.count < keys.count + Self.maxUnknown { known[asked] = found }
        }
        return found < 0 ? nil : found
    }

    /// The index of a flag by its key in the manifest.
    func listed(_ key: String) -> Int? { indices[ExactText(key)] }

    /// Lives as long as the snapshot.
    @inline(__always)
    func table(_ index: Int) -> FlagTable {
        if let table = evenhand_pointer_load(tables + index) { return Unmanaged<FlagTable>.fromOpaque(table).takeUnretainedValue() }
        return makeTable(index)
    }

    @inline(never)
    private func makeTable(_ index: Int) -> FlagTable {
        guard let row = try? native.flagTables(flag: UInt32(index)) else { return FlagTable() }
        let made = Unmanaged.passRetained(FlagTable(row, attributes: attributes))
        if !evenhand_pointer_install(tables + index, made.toOpaque()) { made.release() }
        return table(index)
    }

    /// Evaluates a flag; with a session its exposures are queued there, and `queued` says so.
    @inline(__always)
    func evaluate(_ key: String, _ context: Context, now: Int64?, type: FlagType?, session: UnsafeRawPointer?, queued: inout Bool) throws -> Decision {
        guard let index = index(key) else { return Decision(flag: key, reason: .flagUnknown, manifestVersion: version) }
        // One whose type can't be read answers UNSUPPORTED by itself.
        if let type, let has = types[index], !has.gives(type) { return Decision(flag: key, reason: .typeMismatch, manifestVersion: version) }
        let number = try packed(index, context, now: now ?? nowMs(), session: session)
        // Below zero it says that an exposure was queued.
        queued = number < 0
        let packed = UInt64(bitPattern: number < 0 ? -1 - number : number)
        return Decision(flag: key, packed: packed, origin: .init(snapshot: self, index: index, context: context))
    }

    @inline(__always)
    private func packed(_ index: Int, _ context: Context, now: Int64, session: UnsafeRawPointer?) throws -> Int64 {
        let flag = UInt32(truncatingIfNeeded: index)
        return try context.withBound(to: self) { bound in
            if let bound {
                guard let session else { return evenhand_mobile_evaluate_bound(pointer, bound, flag, now) }
                return evenhand_mobile_decide_bound(session, pointer, bound, flag, now)
            }
            return Records.with(table(index).asked, of: context.attributes, unusable: unusable) { records in
                let bytes = records.bindMemory(to: UInt8.self).baseAddress
                guard let session else { return evenhand_mobile_evaluate_records(pointer, bytes, records.count, flag, now) }
                return evenhand_mobile_decide_records(session, pointer, bytes, records.count, flag, now)
            }
        }
    }

    func evaluateAll(_ context: Context, now: Int64?) throws -> Decisions {
        let bound = try context.bound(to: self)
        let packed = [Int64](unsafeUninitializedCapacity: keys.count) { buffer, written in
            guard let start = buffer.baseAddress else { return }
            let context = UnsafeRawPointer(bitPattern: UInt(bound.address()))
            written = evenhand_mobile_evaluate_all_bound(pointer, context, now ?? nowMs(), start, buffer.count)
        }
        guard packed.count == keys.count else { throw EvenhandError(code: "fault", message: "\(packed.count) of \(keys.count) flags were evaluated") }
        return withExtendedLifetime(bound) { Decisions(packed, snapshot: self, context: context) }
    }

    /// All flags with one reason, after a fault.
    func failed(_ context: Context) -> Decisions {
        let packed = Decision(flag: "", reason: .error, manifestVersion: version).packed
        return Decisions(Array(repeating: Int64(packed), count: keys.count), snapshot: self, context: context)
    }

    func explain(_ key: String, _ context: Context, now: Int64?) throws -> JSONValue {
        try JSONValue.parsed(native.explainJson(key: key, context: context.bound(to: self), nowMs: now ?? nowMs()))
    }

    func flags() -> [FlagInfo] { zip(keys, types).map(FlagInfo.init(key:type:)) }

    /// The context's values in this snapshot's slots.
    func bind(_ context: Context) throws -> NativeContext {
        let records = Records.with(attributes, of: context.attributes, unusable: unusable) { Data($0) }
        let forced = context.forced.map { ForcedRow(flag: $0.key, variation: $0.value) }
        return try native.bind(records: records, sticky: context.sticky.map(\.row), forced: forced)
    }
}
