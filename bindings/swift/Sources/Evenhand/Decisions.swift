/// The decisions of all flags of a manifest, in its order.
public struct Decisions: Sendable, RandomAccessCollection {
    private let packed: [Int64]
    private let origin: (snapshot: Snapshot, context: Context)?

    /// None: there is no manifest.
    init() {
        packed = []
        origin = nil
    }

    init(_ packed: [Int64], snapshot: Snapshot, context: Context) {
        self.packed = packed
        origin = (snapshot, context)
    }

    public var startIndex: Int { 0 }
    public var endIndex: Int { packed.count }

    public subscript(position: Int) -> Decision {
        guard let origin else { preconditionFailure("there are no decisions") }
        return Decision(
            flag: origin.snapshot.keys[position],
            packed: UInt64(bitPattern: packed[position]),
            origin: .init(snapshot: origin.snapshot, index: position, context: origin.context)
        )
    }

    /// The decision of a flag, by its key in the manifest; nil when there is no such flag.
    public subscript(flag: String) -> Decision? {
        guard let origin, let index = origin.snapshot.listed(flag) else { return nil }
        return self[index]
    }
}
