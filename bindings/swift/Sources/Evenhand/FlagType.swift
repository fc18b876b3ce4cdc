internal import EvenhandNative

/// The type of a flag's values.
public enum FlagType: String, Sendable {
    case bool
    case string
    /// A whole number within ±(2^53 − 1).
    case int
    case float
    case json

    init(_ native: ValueType) {
        switch native {
        case .bool: self = .bool
        case .string: self = .string
        case .int: self = .int
        case .float: self = .float
        case .json: self = .json
        }
    }

    /// Whether a flag of this type may be asked for as another.
    func gives(_ asked: FlagType) -> Bool { self == asked || (self == .int && asked == .float) }
}

/// A flag, as a manifest lists it.
public struct FlagInfo: Sendable, Hashable {
    /// The key; hashed in a manifest made for client-side use.
    public let key: String
    /// Nil when the flag did not compile and that could not be read.
    public let type: FlagType?
}
