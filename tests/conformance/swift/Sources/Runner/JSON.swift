/// JSON as the vectors' files have it: a number stays as it is written, since `12345` and `12345.0` are handed in differently.
enum JSON {
    case null
    case bool(Bool)
    case number(String)
    case string(String)
    case array([JSON])
    case object([(name: String, value: JSON)])

    subscript(name: String) -> JSON? {
        if case .object(let members) = self { members.first { $0.name == name }?.value } else { nil }
    }

    var string: String? { if case .string(let text) = self { text } else { nil } }
    var array: [JSON] { if case .array(let elements) = self { elements } else { [] } }
    var members: [(name: String, value: JSON)] { if case .object(let members) = self { members } else { [] } }
    var int: Int64? { if case .number(let text) = self { Int64(text) } else { nil } }
}

struct Unreadable: Error { let what: String }

/// Reads the vectors' files, which are ASCII and well-formed.
struct Parser {
    private let bytes: [UInt8]
    private var at = 0

    static func parse(_ bytes: [UInt8]) throws -> JSON {
        var parser = Parser(bytes: bytes)
        let value = try parser.value()
        parser.blanks()
        guard parser.at == bytes.count else { throw Unreadable(what: "something follows at byte \(parser.at)") }
        return value
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private mutating func blanks() { while at < bytes.count, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[at]) { at += 1 } }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        blanks()
        guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
        at += 1
        return true
    }

    private mutating func want(_ character: Unicode.Scalar) throws {
        guard take(character) else { throw Unreadable(what: "no \(character) at byte \(at)") }
    }

    private mutating func value() throws -> JSON {
        if take("{") {
            var members: [(name: String, value: JSON)] = []
            if take("}") { return .object(members) }
            repeat {
                blanks()
                let name = try string()
                try want(":")
                members.append((name, try value()))
            } while take(",")
            try want("}")
            return .object(members)
        }
        if take("[") {
            var elements: [JSON] = []
            if take("]") { return .array(elements) }
            repeat { elements.append(try value()) } while take(",")
            try want("]")
            return .array(elements)
        }
        guard at < bytes.count else { throw Unreadable(what: "the end") }
        if bytes[at] == UInt8(ascii: "\"") { return .string(try string()) }
        let from = at
        while at < bytes.count, ![0x2c, 0x5d, 0x7d, 0x20, 0x0a, 0x0d, 0x09].contains(bytes[at]) { at += 1 }
        switch String(decoding: bytes[from..<at], as: UTF8.self) {
        case "null": return .null
        case "true": return .bool(true)
        case "false": return .bool(false)
        case let number: return .number(number)
        }
    }

    private mutating func string() throws -> String {
        try want("\"")
        var units: [UInt16] = []
        while true {
            guard at < bytes.count else { throw Unreadable(what: "an open string") }
            let byte = bytes[at]
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: units, as: UTF16.self)
            case UInt8(ascii: "\\"):
                let escaped = bytes[at]
                at += 1
                switch escaped {
                case UInt8(ascii: "b"): units.append(8)
                case UInt8(ascii: "f"): units.append(12)
                case UInt8(ascii: "n"): units.append(10)
                case UInt8(ascii: "r"): units.append(13)
                case UInt8(ascii: "t"): units.append(9)
                case UInt8(ascii: "u"):
                    guard let unit = UInt16(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16) else { throw Unreadable(what: "\\u at byte \(at)") }
                    units.append(unit)
                    at += 4
                default: units.append(UInt16(escaped))
                }
            default:
                guard byte < 0x80 else { throw Unreadable(what: "byte \(at - 1) is not ASCII") }
                units.append(UInt16(byte))
            }
        }
    }
}
