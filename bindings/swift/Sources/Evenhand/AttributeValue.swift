/// An attribute's value. Literals are values: `["user_id": "u-1", "age": 31, "beta": true, "tags": ["a", "b"]]`.
///
/// Numbers are one type, the double: an integer beyond ±2^53 counts as the nearest one. Not a number, the infinities, text beyond
/// 65,536 bytes, lists beyond 1,000 elements or with anything but text, numbers and booleans are *unusable*: there, but no
/// rule except `is_present` can use them. They are counted (`Engine.unusableAttributes`, `Client.unusableAttributes`).
public enum AttributeValue: Sendable, Hashable {
    /// As if the attribute were not there.
    case missing
    case string(String)
    case int(Int64)
    case double(Double)
    case bool(Bool)
    /// Of texts, numbers and booleans.
    case list([AttributeValue])
    /// There, but nothing that a rule could use: for an object, or text that is not Unicode.
    case unusable
}

extension AttributeValue: ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByNilLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int64) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: AttributeValue...) { self = .list(elements) }
    public init(nilLiteral: ()) { self = .missing }
}

extension AttributeValue {
    public init(_ value: String) { self = .string(value) }
    public init(_ value: Bool) { self = .bool(value) }
    public init(_ value: Double) { self = .double(value) }
    /// An integer of any width; one beyond 64 bits' range becomes the nearest double.
    public init(_ value: some BinaryInteger) { self = Int64(exactly: value).map(Self.int) ?? .double(Double(value)) }
    public init(_ values: [String]) { self = .list(values.map(Self.string)) }
    /// Nothing becomes `missing`.
    public init(_ value: String?) { self = value.map(Self.string) ?? .missing }
}
