internal import EvenhandNative

/// A variation that the host has stored for a unit.
public struct StickyRecord: Sendable, Hashable, Codable {
    public let experiment: String
    public let phase: UInt32
    /// The unit id as text.
    public let unit: String
    public let variation: String

    public init(experiment: String, phase: UInt32, unit: String, variation: String) {
        self.experiment = experiment
        self.phase = phase
        self.unit = unit
        self.variation = variation
    }

    init(_ row: StickyRow) { self.init(experiment: row.experiment, phase: row.phase, unit: row.unit, variation: row.variation) }

    var row: StickyRow { StickyRow(experiment: experiment, phase: phase, unit: unit, variation: variation) }
}

/// Whom a flag is decided for: attributes, and what goes along with them. A literal is one: `["user_id": "u-1", "country": "NZ"]`.
///
/// Immutable, and any thread may use it. One that is kept for many decisions is faster from its second decision on: its values are put where
/// a manifest's rules look for them, once for each manifest.
public final class Context: Sendable, ExpressibleByDictionaryLiteral {
    public let attributes: Attributes
    /// Stored assignments; at most one for an experiment, else the last counts.
    public let sticky: [StickyRecord]
    /// Variations by flag, from verified override tokens or for a test.
    public let forced: [String: String]
    private let cell: Cell<Bound>
    private let plain: Bool

    /// The values in the slots of one snapshot. By the snapshot's id, not the snapshot: a context kept must not keep an old manifest.
    private final class Bound: Sendable {
        let snapshot: Int64
        let native: NativeContext
        let address: Int
        /// The same for the snapshot before: one context may serve two clients in turn.
        let other: Bound?

        init(_ native: NativeContext, to snapshot: Int64, other: Bound?) {
            self.snapshot = snapshot
            self.native = native
            self.other = other
            address = Int(truncatingIfNeeded: native.address())
        }

        @inline(__always)
        func found(_ snapshot: Int64) -> Bound? {
            if self.snapshot == snapshot { return self }
            if let other, other.snapshot == snapshot { return other }
            return nil
        }

        var alone: Bound { other == nil ? self : Bound(native, to: snapshot, other: nil) }
    }

    public init(_ attributes: Attributes, sticky: [StickyRecord] = [], forced: [String: String] = [:]) {
        self.attributes = attributes
        self.sticky = sticky
        self.forced = forced
        plain = sticky.isEmpty && forced.isEmpty
        cell = Cell(nil)
    }

    public convenience init(dictionaryLiteral elements: (String, AttributeValue)...) { self.init(Attributes(elements)) }

    deinit { cell.destroy() }

    /// Hands the values bound to the snapshot to `body`, or nil where it isn't worth while yet: at a first decision.
    @inline(__always)
    func withBound<Answer>(to snapshot: Snapshot, _ body: (UnsafeRawPointer?) throws -> Answer) throws -> Answer {
        if let bound = cell.value?.found(snapshot.id) {
            return try withExtendedLifetime(bound) { try body(UnsafeRawPointer(bitPattern: bound.address)) }
        }
        if plain, cell.mark(snapshot.id) != snapshot.id { return try body(nil) }
        let bound = try bind(to: snapshot)
        return try withExtendedLifetime(bound) { try body(UnsafeRawPointer(bitPattern: bound.address)) }
    }

    /// The values bound to the snapshot.
    func bound(to snapshot: Snapshot) throws -> NativeContext {
        if let bound = cell.value?.found(snapshot.id) { return bound.native }
        return try bind(to: snapshot).native
    }

    private func bind(to snapshot: Snapshot) throws -> Bound {
        let bound = Bound(try snapshot.bind(self), to: snapshot.id, other: cell.value?.alone)
        cell.replace(bound)
        return bound
    }
}
