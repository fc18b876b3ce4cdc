/// Which arm of a holdout a unit is in.
public enum Arm: String, Sendable {
    case held
    case open
}

/// The exposure of a holdout that goes with a decision.
public struct HoldoutExposure: Sendable, Hashable {
    public let holdout: String
    public let arm: Arm
    /// The attribute that gives the holdout's unit id.
    public let unit: String
}

/// What a flag gives a context, and why. Where `variation` is nil, the caller's own default counts.
///
/// It remembers the manifest that made it: its exposure, if it comes later, is read with that one's tables. Kept for long, it keeps
/// that manifest in memory.
public struct Decision: Sendable {
    /// The key that was asked for.
    public let flag: String
    /// All of it in one integer below 2^53 (docs/contract/evaluation.md, "The packed form").
    public let packed: UInt64
    /// The version of the manifest; nil when there was none.
    public let manifestVersion: UInt64?
    /// What decided, and for whom; nil for the caller's own default.
    let origin: Origin?

    struct Origin: Sendable {
        let snapshot: Snapshot
        let index: Int
        let context: Context
    }

    private static let noVariation = 255
    private static let noBucket = 16_383

    @inline(__always)
    init(flag: String, packed: UInt64, origin: Origin) {
        self.flag = flag
        self.packed = packed
        manifestVersion = origin.snapshot.version
        self.origin = origin
    }

    /// Leaves the caller its default.
    init(flag: String, reason: Reason, manifestVersion: UInt64?) {
        self.flag = flag
        packed = UInt64(Self.noVariation) | reason.number << 8 | UInt64(Self.noBucket) << 13
        self.manifestVersion = manifestVersion
        origin = nil
    }

    private var table: FlagTable? { origin.map { $0.snapshot.table($0.index) } }

    var variationTable: FlagTable.Variation? {
        let at = Int(packed & 0xff)
        guard at != Self.noVariation, let table, at < table.variations.count else { return nil }
        return table.variations[at]
    }

    private var ruleTable: FlagTable.Rule? {
        let at = Int(packed >> 27 & 0xfff)
        guard at > 0, let table, at <= table.rules.count else { return nil }
        return table.rules[at - 1]
    }

    /// The variation's key; nil where the caller's own default counts.
    public var variation: String? { variationTable?.key }

    /// The variation's value; nil where the caller's own default counts.
    public var value: JSONValue? { variationTable?.value }

    /// The variation's value as RFC 8785 text.
    public var valueJSON: String? { variationTable?.json }

    public var reason: Reason { Reason(number: Int(packed >> 8 & 0x1f)) }

    /// The id of the rule that decided.
    public var rule: String? { reason == .override ? nil : ruleTable?.id }

    /// The id of the experiment it belongs to.
    public var experiment: String? { ruleTable?.experiment }

    /// The experiment's phase, from 1.
    public var phase: Int? { ruleTable?.phase }

    /// The epoch inside the phase, from 1.
    public var epoch: Int? { ruleTable?.epoch }

    /// The split's basis point, 0 to 9999.
    public var bucket: Int? {
        let bucket = Int(packed >> 13 & 0x3fff)
        return bucket == Self.noBucket ? nil : bucket
    }

    /// Whether an exposure goes with it: `Client.decide` queues it, `Client.expose` does later.
    public var hasExposure: Bool {
        switch reason {
        case .split, .sticky: true
        case .override: experiment != nil
        default: false
        }
    }

    /// The exposures of holdouts that go with it, in the order of the rule.
    public var holdoutExposures: [HoldoutExposure] {
        let exposed = packed >> 43 & 0xff
        guard exposed != 0, let rule = ruleTable else { return [] }
        let held = Int(packed >> 39 & 0xf)
        return rule.holdouts.enumerated().compactMap { at, of in
            guard exposed >> UInt64(at) & 1 == 1 else { return nil }
            return HoldoutExposure(holdout: of.holdout, arm: held == at + 1 ? .held : .open, unit: of.unit)
        }
    }
}

extension Decision: CustomStringConvertible {
    public var description: String { "\(flag) = \(variation ?? "the caller's default") (\(reason.rawValue))" }
}
