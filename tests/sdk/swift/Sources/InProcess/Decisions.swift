// Decisions: what crosses the boundary, and what never breaks.
import Evenhand
import EvenhandNative
import Foundation

func panic() async throws -> String {
    for _ in 0..<3 {
        do {
            try panicForTests()
        } catch NativeError.Fault(let detail) {
            try check(detail.contains("deliberate panic"), "the error says what", detail)
            continue
        }
        throw Failed(description: "the panic is not thrown")
    }
    let engine = try Engine(manifest: Data(manifest().utf8))
    try check(engine.evaluate("flag-0", ["user_id": "u"]).reason == .split, "decisions go on")
    return ""
}

func failOpen() async throws -> String {
    let engine = try Engine()
    try check(engine.evaluate("flag-0", ["user_id": "u"]).reason == .noManifest, "without a manifest: NO_MANIFEST")
    try check(engine.stringValue("flag-0", ["user_id": "u"], fallback: "mine") == "mine", "and the caller's default")
    try check(engine.evaluateAll(["user_id": "u"]).isEmpty, "no decisions of no flags")
    do {
        try engine.updateManifest(Data("{".utf8))
        throw Failed(description: "half a manifest is taken")
    } catch let error as EvenhandError { try check(error.code == "not_readable" && error.message.count > 15, "a refusal has a code and says why", error) }
    try engine.updateManifest(data(manifest()))
    do { try engine.updateManifest(Data("nonsense".utf8)) } catch is EvenhandError {}
    let kept: Context = ["user_id": "u", "country": "NZ"]
    for _ in 0..<3 { try check(engine.evaluate("flag-1", kept).reason == .split, "the manifest held stays") }
    try check(engine.evaluate("nothing", kept).reason == .flagUnknown, "FLAG_UNKNOWN")
    try check(engine.evaluate("flag-1", kept, type: .bool).reason == .typeMismatch, "TYPE_MISMATCH")
    try check(engine.intValue("flag-1", kept, fallback: 7) == 7, "and the caller's default")
    try check(engine.evaluate("flag-1", [:]).reason == .noUnit, "nothing given: NO_UNIT")
    try check(engine.evaluate("flag-1", ["user_id": "u", "country": nil]).reason == .default, "the unit alone: DEFAULT")
    try check(engine.lastError == nil, "nothing was thrown", engine.lastError as Any)
    let explained = try engine.explain("flag-1", kept)
    try check(explained.objectValue?.isEmpty == false, "an explanation says something", explained)
    try check(engine.flags().count == 200 && engine.flags()[0].type == .string, "the flags are listed", engine.flags().count)
    for (salt, unit) in [("", "u"), ("s s", "u"), ("s", ""), ("s", String(repeating: "u", count: 4_097))] {
        do {
            _ = try bucket(salt: salt, unit: unit)
            throw Failed(description: "bucket takes \(salt.debugDescription) and a unit of \(unit.count)")
        } catch let error as EvenhandError { try check(error.code == "invalid", "refused by its code", error) }
    }
    return ""
}

/// Ids as no test of one's own has them: a context at its first decision, kept, and among all must say the same as the public hash.
func oddTexts() async throws -> String {
    let engine = try Engine(manifest: data(manifest()))
    let ids = [
        "\u{1F600}", "\u{10FFFF}", "a\u{0}b", "\u{0}", "e\u{301}", "\u{e9}", "\u{212A}", "K", String(repeating: "x", count: 4_096),
        String(repeating: "\u{1F600}", count: 1_024), "\r\n", "\u{FEFF}u",
    ]
    var buckets: [String] = []
    for id in ids {
        let context: Context = ["user_id": .string(id)]
        let expected = try bucket(salt: "s0", unit: id).basisPoint
        let found = [engine.evaluate("flag-0", context), engine.evaluate("flag-0", context), engine.evaluateAll(context)["flag-0"]!]
        try check(found.allSatisfy { $0.reason == .split && $0.bucket == expected }, "\(id.unicodeScalars.prefix(3)) has its own bucket", found)
        buckets.append("\(expected)")
    }
    try check(buckets[4] != buckets[5] && buckets[6] != buckets[7], "what Unicode calls equal is not: bytes count", buckets)
    for id in [String(repeating: "x", count: 4_097), ""] {
        let context: Context = ["user_id": .string(id)]
        for _ in 0..<2 { try check(engine.evaluate("flag-0", context).reason == .noUnit, "\(id.utf8.count) bytes are no unit id") }
    }
    try check(engine.unusableAttributes.isEmpty, "and yet usable attributes", engine.unusableAttributes)
    // 65,536 bytes are a text, one more is unusable; lists likewise.
    let unusable: [(AttributeValue, Int)] = [
        (.string(String(repeating: "c", count: 65_536)), 0), (.string(String(repeating: "c", count: 65_537)), 1),
        (.string(String(repeating: "\u{e9}", count: 32_769)), 1), (.list(Array(repeating: "c", count: 1_000)), 0),
        (.list(Array(repeating: "c", count: 1_001)), 1), (["c", nil], 1), ([["c"]], 1), (.double(.nan), 1), (.unusable, 1), (.missing, 0),
        (.list(Array(repeating: .string(String(repeating: "c", count: 60_000)), count: 20)), 0),
    ]
    for (value, more) in unusable {
        for context in [["user_id": "u", "country": value, "age": 20] as Context] {
            let before = engine.unusableAttributes["country"] ?? 0
            let first = engine.evaluate("flag-1", context)
            try check((engine.unusableAttributes["country"] ?? 0) - before == more, "unusable, at a first decision", value)
            let second = engine.evaluate("flag-1", context)
            try check((engine.unusableAttributes["country"] ?? 0) - before == 2 * more, "unusable, when bound", value)
            try check(first.reason == .split && second.reason == .split, "the other condition holds", (first, second))
        }
    }
    // A name that stands twice, and names that Unicode calls equal.
    let twice = Context(Attributes([("user_id", "wrong"), ("user_id", "right")] as [(String, AttributeValue)]))
    let right = try bucket(salt: "s0", unit: "right").basisPoint
    for _ in 0..<2 { try check(engine.evaluate("flag-0", twice).bucket == right, "the last of two counts") }
    let kelvin: JSONValue = [
        "type": "bool", "off": "no", "default": "no", "variations": [["key": "no", "value": false], ["key": "yes", "value": true]],
        "rules": [["id": "r", "kind": "targeted", "serve": "yes", "when": ["all": [["op": "str_eq", "attr": "K", "value": "e\u{301}"]]]]],
    ]
    let exact = try Engine(manifest: data(manifest(1, more: ["e\u{301}": kelvin])))
    try check(exact.booleanValue("e\u{301}", ["K": "e\u{301}"], fallback: false), "key, name and value are theirs")
    try check(exact.evaluate("\u{e9}", ["K": "e\u{301}"]).reason == .flagUnknown, "not the other spelling of the key")
    for context in [["\u{212A}": "e\u{301}"], ["K": "\u{e9}"]] as [Context] {
        for _ in 0..<2 { try check(!exact.booleanValue("e\u{301}", context, fallback: true), "nor of name or value") }
    }
    let all = exact.evaluateAll(["K": "e\u{301}"])
    try check(all["\u{e9}"] == nil && all["e\u{301}"]?.value == true, "nor among all")
    return "\(ids.count) ids, \(unusable.count) values"
}

func values() async throws -> String {
    func flag(_ type: String, _ value: JSONValue) -> JSONValue {
        ["type": .string(type), "off": "v", "default": "v", "variations": [["key": "v", "value": value], ["key": "w", "value": value]], "rules": []]
    }
    let json: JSONValue = ["text": "q\"\u{1F600}\\", "list": [1, 2.5, nil, true], "empty": [:]]
    let engine = try Engine(
        manifest: data(
            manifest(
                0, more: ["b": flag("bool", true), "s": flag("string", "a\"\\\u{0}\u{1F600}"), "i": flag("int", 9_007_199_254_740_991), "f": flag("float", 1.5e300), "j": flag("json", json)]
            )))
    let user: Context = ["user_id": "u"]
    try check(engine.booleanValue("b", user, fallback: false), "bool")
    try check(engine.stringValue("s", user, fallback: "") == "a\"\\\u{0}\u{1F600}", "string", engine.stringValue("s", user, fallback: ""))
    try check(engine.intValue("i", user, fallback: 0) == 9_007_199_254_740_991, "int", engine.intValue("i", user, fallback: 0))
    try check(engine.doubleValue("i", user, fallback: 0) == 9_007_199_254_740_991, "an int as float")
    try check(engine.doubleValue("f", user, fallback: 0) == 1.5e300, "float")
    try check(engine.jsonValue("j", user, fallback: nil) == json, "json", engine.jsonValue("j", user, fallback: nil))
    struct Shape: Decodable { let list: [JSONValue] }
    let text = engine.evaluate("j", user).valueJSON ?? ""
    try check(try JSONDecoder().decode(Shape.self, from: Data(text.utf8)).list.count == 4, "its text is for any decoder")
    return ""
}
