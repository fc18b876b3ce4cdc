import Evenhand

/// A context value as the files write it, in Swift's own values.
func handedIn(_ value: JSON) throws -> AttributeValue {
    switch value {
    case .null: return .missing
    case .bool(let value): return .bool(value)
    case .string(let text): return .string(text)
    case .array(let elements): return .list(try elements.map(handedIn))
    case .number(let text):
        guard text.allSatisfy({ $0.isNumber || $0 == "-" }) else { return .double(Double(text)!) }
        return Int64(text).map(AttributeValue.int) ?? .double(Double(text)!)
    case .object(let members):
        guard members.allSatisfy({ ["$special", "text", "times", "item"].contains($0.name) }) else { return .unusable }
        switch value["$special"]?.string {
        case "nan": return .double(.nan)
        case "inf": return .double(.infinity)
        case "-inf": return .double(-.infinity)
        // No Swift string holds one: what a program has in its place is no text.
        case "lone_surrogate": return .unusable
        case "repeat": return .string(String(repeating: value["text"]!.string!, count: Int(value["times"]!.int!)))
        case "repeat_list": return .list(Array(repeating: try handedIn(value["item"]!), count: Int(value["times"]!.int!)))
        default: return .unusable
        }
    }
}

func attributes(_ written: JSON) throws -> Attributes { Attributes(try written.members.map { ($0.name, try handedIn($0.value)) }) }

/// Which of the case's needs Swift's values can't hold.
func substituted(_ one: JSON) -> [Field] {
    (one["needs"]?.array ?? []).compactMap(\.string).filter { ["lone_surrogate", "bigint"].contains($0) }.map(Field.text)
}

func sticky(_ one: JSON) -> [StickyRecord] {
    (one["sticky"]?.array ?? []).map {
        StickyRecord(
            experiment: $0["experiment"]!.string!, phase: UInt32($0["phase"]!.int!), unit: $0["unit"]!.string!, variation: $0["variation"]!.string!)
    }
}

func forced(_ one: JSON) -> [String: String] {
    Dictionary(uniqueKeysWithValues: (one["forced"]?.members ?? []).map { ($0.name, $0.value.string!) })
}
