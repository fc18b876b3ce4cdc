import Evenhand

/// What stands in a line of the result.
indirect enum Field {
    case null
    case bool(Bool)
    case int(Int64)
    case text(String)
    case list([Field])
    case object([String: Field])

    init(_ text: String?) { self = text.map(Field.text) ?? .null }
    init(_ number: Int?) { self = number.map { .int(Int64($0)) } ?? .null }
    init(_ number: UInt64?) { self = number.map { .int(Int64($0)) } ?? .null }
}

/// Keys in ascending order, no white space, ASCII.
func written(_ field: Field) -> String {
    switch field {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .int(let value): String(value)
    case .text(let value): quoted(value, ascii: true)
    case .list(let elements): "[" + elements.map(written).joined(separator: ",") + "]"
    case .object(let members):
        "{" + members.sorted { Array($0.key.utf16).lexicographicallyPrecedes(Array($1.key.utf16)) }
            .map { quoted($0.key, ascii: true) + ":" + written($0.value) }.joined(separator: ",") + "}"
    }
}

/// The RFC 8785 text of a native value.
func canonical(_ value: JSONValue) -> String {
    switch value {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .number(let value): ecmaScript(value)
    case .string(let value): quoted(value, ascii: false)
    case .array(let elements): "[" + elements.map(canonical).joined(separator: ",") + "]"
    case .object(let members):
        "{" + members.sorted { Array($0.key.utf16).lexicographicallyPrecedes(Array($1.key.utf16)) }
            .map { quoted($0.key, ascii: false) + ":" + canonical($0.value) }.joined(separator: ",") + "}"
    }
}

private func quoted(_ text: String, ascii: Bool) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": out += "\\\""
        case "\\": out += "\\\\"
        case "\u{8}": out += "\\b"
        case "\u{c}": out += "\\f"
        case "\n": out += "\\n"
        case "\r": out += "\\r"
        case "\t": out += "\\t"
        default:
            if scalar.value >= 0x20 && (!ascii || scalar.value <= 0x7e) {
                out.unicodeScalars.append(scalar)
            } else {
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            }
        }
    }
    return out + "\""
}

/// A number as ECMAScript writes it: Swift's digits are the same (the fewest that give the number back), only laid out otherwise.
private func ecmaScript(_ number: Double) -> String {
    if number == 0 { return "0" }
    let parts = String(describing: number.magnitude).split(separator: "e")
    let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    let whole = String(mantissa[0])
    let fraction = mantissa.count > 1 ? String(mantissa[1]) : ""
    var digits = whole + fraction
    // The number is 0.DIGITS × 10^point.
    var point = whole.count + (parts.count > 1 ? Int(parts[1])! : 0)
    let zeros = digits.prefix { $0 == "0" }.count
    digits.removeFirst(zeros)
    point -= zeros
    while digits.last == "0" { digits.removeLast() }
    let count = digits.count
    let text: String
    if count <= point && point <= 21 {
        text = digits + String(repeating: "0", count: point - count)
    } else if 0 < point && point <= 21 {
        text = digits.prefix(point) + "." + digits.dropFirst(point)
    } else if -6 < point && point <= 0 {
        text = "0." + String(repeating: "0", count: -point) + digits
    } else {
        let exponent = point - 1
        text = digits.prefix(1) + (count > 1 ? "." + digits.dropFirst() : "") + "e" + (exponent < 0 ? "-" : "+") + String(abs(exponent))
    }
    return (number < 0 ? "-" : "") + text
}
