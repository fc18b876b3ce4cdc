/// Why a decision is what it is. The list is closed (docs/contract/evaluation.md, "Reasons").
public enum Reason: String, Sendable, CaseIterable {
    // In the order of the packed form.
    case noManifest = "NO_MANIFEST"
    /// The first manifest is still awaited, or an id list that the flag needs.
    case notReady = "NOT_READY"
    case flagUnknown = "FLAG_UNKNOWN"
    case archived = "ARCHIVED"
    case killed = "KILLED"
    case paused = "PAUSED"
    case override = "OVERRIDE"
    case holdout = "HOLDOUT"
    case targeted = "TARGETED"
    case rollout = "ROLLOUT"
    case split = "SPLIT"
    case sticky = "STICKY"
    case `default` = "DEFAULT"
    /// No rule decided, and at least one was skipped for want of its unit.
    case noUnit = "NO_UNIT"
    case unsupported = "UNSUPPORTED"
    case typeMismatch = "TYPE_MISMATCH"
    /// An internal fault; see `lastError`.
    case error = "ERROR"

    private static let numbered = allCases

    init(number: Int) { self = number < Self.numbered.count ? Self.numbered[number] : .error }

    var number: UInt64 { UInt64(Self.numbered.firstIndex(of: self) ?? 16) }
}
