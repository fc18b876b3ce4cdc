// What a decision costs among 200 experiments, beside a call into the library that does nothing: process CPU time of many short blocks; and what
// the first decision of a process costs, by the clock.
//     Decide DATA COLD FIGURES.json [--strict]
// DATA holds evenhand_200.json and users.json (benches/workload.py), COLD is the program of a cold start.
import Evenhand
import EvenhandFFI
import Foundation

struct User: Decodable {
    let id, country, device, os, app_version, plan: String
    let age: Int

    var attributes: Attributes {
        [
            "id": .string(id), "country": .string(country), "device": .string(device), "os": .string(os), "app_version": .string(app_version),
            "plan": .string(plan), "age": AttributeValue(age),
        ]
    }
}

struct Manifest: Decodable {
    struct Flag: Decodable {}
    let flags: [String: Flag]
}

struct Row: Encodable {
    let what: String
    let fastest_ns: Double
    let median_ns: Double
    let bar_ns: Double?

    init(_ what: String, _ times: [Double], bar: Double?) {
        let sorted = times.sorted()
        self.what = what
        fastest_ns = sorted[0]
        median_ns = sorted[sorted.count / 2]
        bar_ns = bar
    }

    enum CodingKeys: CodingKey { case what, fastest_ns, median_ns, bar_ns }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(what, forKey: .what)
        try container.encode(fastest_ns, forKey: .fastest_ns)
        try container.encode(median_ns, forKey: .median_ns)
        // There, and null without a bar.
        try container.encode(bar_ns, forKey: .bar_ns)
    }
}

func nanoseconds(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Keeps the optimizer from leaving a call out.
@inline(never)
func keep<Value>(_ value: Value) { withExtendedLifetime(value) {} }

let arguments = CommandLine.arguments
let data = URL(fileURLWithPath: arguments[1])
let path = data.appendingPathComponent("evenhand_200.json")
let bytes = try Data(contentsOf: path)
let users = try JSONDecoder().decode([User].self, from: Data(contentsOf: data.appendingPathComponent("users.json"))).prefix(1_000).map(\.attributes)
let flags = try JSONDecoder().decode(Manifest.self, from: bytes).flags.keys.sorted()
let engine = try Engine(manifest: bytes)
var options = ClientOptions()
options.stream = false
options.logger = SilentLogger()
options.bootstrap = .data(bytes)
let client = try Client(url: "http://127.0.0.1:9", key: "k", options: options)
let contexts = users.map { Context($0) }
let now = Int64(Date().timeIntervalSince1970 * 1_000)

func flag(_ i: Int) -> String { flags[(i &* 113) % 200] }
func user(_ i: Int) -> Int { (i &* 7_919) % 1_000 }

// name, calls of a block, bar in nanoseconds, the call
let measured: [(name: String, times: Int, bar: Double?, call: (Int) -> Void)] = [
    ("a call that does nothing", 5_000, nil, { keep(evenhand_mobile_nothing(Int64($0))) }),
    ("evaluate, Context kept", 2_000, 400, { keep(engine.evaluate(flag($0), contexts[user($0)])) }),
    ("evaluate, Context kept, and its variation read", 2_000, 400, { keep(engine.evaluate(flag($0), contexts[user($0)]).variation) }),
    ("evaluate, Context kept, now given", 2_000, nil, { keep(engine.evaluate(flag($0), contexts[user($0)], now: now)) }),
    ("evaluate, Context made of attributes", 2_000, 1_500, { keep(engine.evaluate(flag($0), Context(users[user($0)])).variation) }),
    (
        "evaluate, a literal of 3 attributes", 2_000, 1_500,
        { keep(engine.evaluate(flag($0), ["id": "u-1", "country": "US", "device": "mobile"]).variation) }
    ),
    (
        "evaluate, Context kept, two clients in turn", 2_000, nil,
        { keep(($0 & 1 == 0 ? engine.evaluate(flag($0), contexts[user($0 >> 1)]) : client.evaluate(flag($0), contexts[user($0 >> 1)]))) }
    ),
    ("decide, Context kept, exposure known", 2_000, nil, { keep(client.decide(flags[$0 % 20], contexts[$0 % 100])) }),
    ("evaluateAll of 200, Context kept", 50, nil, { keep(engine.evaluateAll(contexts[$0 % 1_000])) }),
    ("evaluateAll of 200, and all variations read", 50, nil, { for one in engine.evaluateAll(contexts[$0 % 1_000]) { keep(one.variation) } }),
    ("evaluateAll of 200, Context made of attributes", 50, nil, { keep(engine.evaluateAll(Context(users[$0 % 1_000]))) }),
]
let rounds = 200
let warm = 20
var found: [[Double]] = measured.map { _ in [] }
// In turn, so that a noisy moment does not hit one alone; the first rounds warm up.
for round in 0..<rounds + warm {
    for (at, one) in measured.enumerated() {
        let from = round * one.times
        let began = nanoseconds(CLOCK_PROCESS_CPUTIME_ID)
        for i in from..<from + one.times { one.call(i) }
        let took = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - began
        if round >= warm { found[at].append(Double(took) / Double(one.times)) }
    }
}
var rows = zip(measured, found).map { Row($0.name, $1, bar: $0.bar) }

func coldStart() throws -> Double {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: arguments[2])
    process.arguments = [path.path]
    let output = Pipe()
    process.standardOutput = output
    let began = nanoseconds(CLOCK_MONOTONIC)
    try process.run()
    let said = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0, let done = Int64(String(decoding: said, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)) else {
        fatalError("the cold start ended with \(process.terminationStatus): \(String(decoding: said, as: UTF8.self))")
    }
    return Double(done - began)
}
for _ in 0..<3 { _ = try coldStart() }
rows.append(Row("a process's first decision, from its start", try (0..<25).map { _ in try coldStart() }, bar: 50_000_000))

for row in rows {
    let text = row.what.padding(toLength: 48, withPad: " ", startingAt: 0)
    print("\(text) fastest \(Int(row.fastest_ns)) ns, median \(Int(row.median_ns)) ns\(row.bar_ns.map { ", bar \(Int($0)) ns" } ?? "")")
}
try JSONEncoder().encode(rows).write(to: URL(fileURLWithPath: arguments[3]))
let missed = rows.filter { row in row.bar_ns.map { row.median_ns >= $0 } ?? false }
if arguments.contains("--strict"), !missed.isEmpty { fatalError("missed: \(missed.map(\.what))") }
