// Every case of tests/vectors through the public API of the staged package: what came out, as tests/conformance/README.md describes it. Never looks at
// an expected value.
//
//     Runner VECTORS_DIR OUT.ndjson
import Evenhand
import Foundation

struct Disagreement: Error { let what: String }

let arguments = CommandLine.arguments
guard arguments.count == 3 else { fatalError("usage: Runner VECTORS_DIR OUT.ndjson") }
let vectors = URL(fileURLWithPath: arguments[1])

func read(_ name: String) throws -> JSON { try Parser.parse([UInt8](Data(contentsOf: vectors.appendingPathComponent(name)))) }

func shown(_ found: Decision) -> Field {
    .object([
        "bucket": Field(found.bucket),
        "epoch": Field(found.epoch),
        "experiment": Field(found.experiment),
        "exposure": .bool(found.hasExposure),
        "flag": .text(found.flag),
        "holdout_exposures": .list(
            found.holdoutExposures.map { .object(["arm": .text($0.arm.rawValue), "holdout": .text($0.holdout), "unit": .text($0.unit)]) }),
        "manifest_version": Field(found.manifestVersion),
        "packed": Field(found.packed),
        "phase": Field(found.phase),
        "reason": .text(found.reason.rawValue),
        "rule": Field(found.rule),
        "value": Field(found.value.map(canonical)),
        "variation": Field(found.variation),
    ])
}

/// Three ways lead to a decision: a context at its first decision, the same one at its second, and all flags at once. They must agree.
func decide(_ engine: Engine, _ one: JSON) throws -> Field {
    let flag = one["flag"]!.string!
    let now = one["now_ms"]!.int!
    let type = one["type"]?.string.flatMap(FlagType.init(rawValue:))
    let context = Context(try attributes(one["context"]!), sticky: sticky(one), forced: forced(one))
    let first = engine.evaluate(flag, context, now: now, type: type)
    var ways = [engine.evaluate(flag, context, now: now, type: type)]
    // In an obfuscated manifest the keys are hashes, and one asked for by its hash is unknown.
    if type == nil, first.reason != .flagUnknown, let among = engine.evaluateAll(context, now: now)[flag] { ways.append(among) }
    for way in ways where written(shown(way)) != written(shown(first)) || way.valueJSON != first.valueJSON {
        throw Disagreement(what: "two ways, two decisions for \(flag): \(written(shown(first))) and \(written(shown(way)))")
    }
    if let value = first.value, canonical(value) != first.valueJSON {
        throw Disagreement(what: "\(flag): the value is \(canonical(value)), its text \(first.valueJSON ?? "missing")")
    }
    return shown(first)
}

func hash(_ file: JSON, _ name: String) throws -> [Field] {
    try file["cases"]!.array.map { one in
        let found = try bucket(salt: one["salt"]!.string!, unit: one["unit"]!.string!)
        return .object([
            "basis_point": .int(Int64(found.basisPoint)), "case": .text(one["name"]!.string!), "file": .text(name), "h": .int(Int64(found.h)),
            "slot": .int(Int64(found.slot)),
        ])
    }
}

func decisions(_ file: JSON, _ name: String, _ carriedOut: inout Int) throws -> [Field] {
    var lines: [Field] = []
    for group in file["groups"]!.array {
        let engine = try Engine()
        for (_, blob) in group["lists"]?.members ?? [] {
            do { try engine.addList(Data(base64Encoded: blob.string!)!) } catch is EvenhandError {}
        }
        var taken = true
        do { try engine.updateManifest(Data(group["manifest"]!.string!.utf8)) } catch is EvenhandError { taken = false }
        let unsupported = taken ? Set(try engine.faults().compactMap(\.flag)).sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) } : []
        let label = Field.text(group["name"]!.string!)
        lines.append(
            .object([
                "file": .text(name), "group": label, "manifest": .text(taken ? "taken" : "refused"), "unsupported": .list(unsupported.map(Field.text)),
            ]))
        for one in group["cases"]!.array {
            var line: [String: Field] = ["case": .text(one["name"]!.string!), "decision": try decide(engine, one), "file": .text(name), "group": label]
            let needs = substituted(one)
            if !needs.isEmpty { line["substituted"] = .list(needs) }
            lines.append(.object(line))
            carriedOut += 1
        }
    }
    return lines
}

func envelope(_ file: JSON, _ name: String) throws -> [Field] {
    try file["cases"]!.array.map { one in
        let keys = Dictionary(uniqueKeysWithValues: one["keys"]!.members.map { ($0.name, $0.value.string!) })
        let engine = try Engine(keys: keys)
        let told: [Field] = try one["deliveries"]!.array.map { delivery in
            var accepted = true
            do { try engine.updateManifest(Data(delivery["text"]!.string!.utf8)) } catch is EvenhandError { accepted = false }
            return .object([
                "accepted": .bool(accepted), "generation": Field(engine.manifest?.generation), "version": Field(engine.manifest?.version),
            ])
        }
        return .object(["case": .text(one["name"]!.string!), "deliveries": .list(told), "file": .text(name)])
    }
}

func tokens(_ file: JSON, _ name: String) throws -> [Field] {
    try file["cases"]!.array.map { one in
        var granted: GrantedOverride?
        do {
            granted = try verifyOverride(
                one["token"]!.string!, keys: one["keys"]!.array.map { $0.string! }, environment: one["environment"]!.string!, now: one["now_ms"]!.int!)
        } catch let error as EvenhandError where error.code != "invalid" {}
        return .object([
            "case": .text(one["name"]!.string!), "file": .text(name), "flag": Field(granted?.flag), "valid": .bool(granted != nil),
            "variation": Field(granted?.variation),
        ])
    }
}

func population(_ file: JSON, _ name: String) throws -> [Field] {
    try file["cases"]!.array.map { one in
        let engine = try Engine(manifest: Data(one["manifest"]!.string!.utf8))
        let now = one["now_ms"]!.int!
        let flags = one["flags"]!.array.map { $0.string! }
        let wanted = Set(one["checkpoints"]!.members.map(\.name))
        var sum = SHA256()
        var counts: [String: [String: Int]] = [:]
        var checkpoints: [String: Field] = [:]
        for i in 0..<Int(one["units"]!.int!) {
            let digits = String(i, radix: 16)
            let (id, unit): (String, AttributeValue) =
                switch i % 5 {
                case 0: ("user-\(i)", "user-\(i)")
                case 1: ("\(i)", AttributeValue(i))
                case 2:
                    (String(repeating: "0", count: 8 - digits.count) + digits + "@example.com", .string(String(repeating: "0", count: 8 - digits.count) + digits + "@example.com"))
                case 3: ("\u{fc}\(i)", "\u{fc}\(i)")
                default: ("-\(i)", AttributeValue(-i))
                }
            let kept: Context = ["user_id": unit]
            for flag in flags {
                let found = engine.evaluate(flag, i % 2 == 0 ? ["user_id": unit] : kept, now: now)
                let arm = "\(found.variation ?? "null")/\(found.reason.rawValue)"
                sum.add("\(id)\t\(flag)\t\(found.variation ?? "null")\t\(found.reason.rawValue)\t\(found.bucket.map(String.init) ?? "")\n")
                counts[flag, default: [:]][arm, default: 0] += 1
            }
            if wanted.contains(String(i + 1)) { checkpoints[String(i + 1)] = .text(sum.hex) }
        }
        return .object([
            "case": .text(one["name"]!.string!), "checkpoints": .object(checkpoints),
            "counts": .object(counts.mapValues { .object($0.mapValues { .int(Int64($0)) }) }), "file": .text(name), "sha256": .text(sum.hex),
        ])
    }
}

var out = ""
for (name, about) in try read("index.json")["files"]!.members {
    let format = about["format"]!.string!
    // The policy below all SDKs, proven once (core/session).
    if format == "session" { continue }
    let file = try read(name)
    var lines: [Field]
    var carriedOut = 0
    switch format {
    case "hash": lines = try hash(file, name)
    case "decisions": lines = try decisions(file, name, &carriedOut)
    case "envelope": lines = try envelope(file, name)
    case "tokens": lines = try tokens(file, name)
    case "population": lines = try population(file, name)
    default: throw Disagreement(what: "\(name) has the format \(format), which this runner does not know")
    }
    if format != "decisions" { carriedOut = lines.count }
    lines.insert(.object(["cases": .int(Int64(carriedOut)), "file": .text(name)]), at: 0)
    out += lines.map { written($0) + "\n" }.joined()
}
try Data(out.utf8).write(to: URL(fileURLWithPath: arguments[2]))
