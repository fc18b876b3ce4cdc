/// Attributes by name; unit ids are attributes like any other: `["user_id": "u-1", "country": "NZ"]`.
///
/// Names are compared byte for byte. Where a name stands twice, the last counts.
public struct Attributes: Sendable, ExpressibleByDictionaryLiteral {
    /// As they were given.
    var pairs: [(name: String, value: AttributeValue)]

    /// None.
    public init() { pairs = [] }

    /// By a literal.
    public init(dictionaryLiteral elements: (String, AttributeValue)...) { pairs = elements.map { (name: $0.0, value: $0.1) } }

    /// A dictionary's entries.
    public init(_ values: [String: AttributeValue]) { pairs = values.map { (name: $0.key, value: $0.value) } }

    /// Names and values in any sequence.
    public init(_ values: some Sequence<(String, AttributeValue)>) { pairs = values.map { (name: $0.0, value: $0.1) } }

    /// A value by its name. Nil where there is none; setting nil removes it.
    public subscript(name: String) -> AttributeValue? {
        get { pairs.last { sameBytes($0.name, name) }?.value }
        set {
            pairs.removeAll { sameBytes($0.name, name) }
            if let newValue { pairs.append((name: name, value: newValue)) }
        }
    }

    /// The names.
    public var names: [String] { pairs.map(\.name) }
}
