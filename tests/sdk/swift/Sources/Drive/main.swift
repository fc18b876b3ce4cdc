// A program that end_to_end.py and odd_servers.py talk to: one command a line on stdin, one answer (JSON) a line on stdout.
//     Drive URL KEY [NAME=VALUE…]     spool=PATH stream=0 bootstrap=PATH sticky=PATH override=FLAG:VARIATION timeout_ms=N or a number of the session
import Evenhand
import Foundation

struct Told: ClientLogger {
    func log(_ entry: LogEntry) { FileHandle.standardError.write(Data("\(entry.code): \(entry.message)\n".utf8)) }
}

let numbers: [String: WritableKeyPath<ClientOptions, Int?> & Sendable] = [
    "poll_interval_ms": \.pollIntervalMs, "stream_poll_interval_ms": \.streamPollIntervalMs, "announce_jitter_ms": \.announceJitterMs,
    "backoff_base_ms": \.backoffBaseMs, "backoff_max_ms": \.backoffMaxMs, "denied_retry_ms": \.deniedRetryMs, "retry_after_max_ms": \.retryAfterMaxMs,
    "report_timeout_ms": \.reportTimeoutMs, "stale_after_ms": \.staleAfterMs, "dedupe_capacity": \.dedupeCapacity, "dedupe_ttl_ms": \.dedupeTtlMs,
    "queue_max_events": \.queueMaxEvents, "queue_max_bytes": \.queueMaxBytes, "batch_max_events": \.batchMaxEvents, "batch_max_bytes": \.batchMaxBytes,
    "flush_interval_ms": \.flushIntervalMs,
]

func options(_ given: some Sequence<String>) throws -> ClientOptions {
    var options = ClientOptions()
    options.logger = Told()
    for argument in given {
        let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
        let (name, value) = (parts[0], parts[1])
        switch name {
        case "spool": options.spool = URL(fileURLWithPath: value)
        case "stream": options.stream = value != "0"
        case "bootstrap": options.bootstrap = .file(URL(fileURLWithPath: value))
        case "sticky": options.stickyStore = try FileStickyStore(URL(fileURLWithPath: value))
        case "override":
            let of = value.split(separator: ":").map(String.init)
            options.overrides[of[0]] = of[1]
        case "timeout_ms": options.timeoutMs = Int(value)!
        default: options[keyPath: numbers[name]!] = Int(value)!
        }
    }
    return options
}

func say(_ answer: JSONValue) {
    FileHandle.standardOutput.write(try! JSONEncoder().encode(answer) + Data("\n".utf8))
}

func shown(_ decision: Decision) -> JSONValue {
    [
        "variation": decision.variation.map(JSONValue.string) ?? .null, "value": .string(decision.value?.stringValue ?? "mine"),
        "reason": .string(decision.reason.rawValue),
    ]
}

func number(_ value: UInt64) -> JSONValue { .number(Double(value)) }

func shown(_ told: Telemetry) -> JSONValue {
    func counts(_ of: Telemetry.Events) -> JSONValue { ["queued": number(of.queued), "restored": number(of.restored), "sent": number(of.sent)] }
    return [
        "exposures": counts(told.exposures), "events": counts(told.events), "held": number(told.heldEvents), "evaluations": number(told.evaluations),
        "confirmations": number(told.manifestConfirmations), "fetches": number(told.manifestFetches), "snapshots": number(told.snapshots),
        "streaming": .bool(told.streaming),
    ]
}

/// Tracks until events are refused, and says so when the first was taken.
final class Tracker: @unchecked Sendable {
    private let client: Client
    private var ids: [String] = []
    private let begun = DispatchSemaphore(value: 0)
    private let refused = DispatchSemaphore(value: 0)

    init(_ client: Client) {
        self.client = client
        Thread.detachNewThread { self.track() }
        begun.wait()
    }

    private func track() {
        while let id = client.track("note", ["user_id": "u"]) {
            ids.append(id)
            if ids.count == 1 { begun.signal() }
            usleep(500)
        }
        refused.signal()
    }

    func ended() -> [String] {
        refused.wait()
        return ids
    }
}

let arguments = CommandLine.arguments
let given = try options(arguments.dropFirst(3))
let clock = ContinuousClock()
let began = clock.now
var client: Client? = try Client(url: arguments[1], key: arguments[2], options: given)
let took = began.duration(to: clock.now)
say(["constructed_us": .number(Double(took.components.attoseconds / 1_000_000_000_000))])
while let line = readLine() {
    let words = line.split(separator: " ").map(String.init)
    if words[0] == "drop" {
        client = nil
        say(true)
        continue
    }
    guard let client else { fatalError("the client was dropped") }
    let timeoutMs = words.count > 1 ? Int(words[1]) ?? 0 : 0
    switch words[0] {
    case "decide": say(shown(client.decide("checkout", ["user_id": .string(words[1])])))
    case "evaluate": say(shown(client.evaluate("checkout", ["user_id": .string(words[1])])))
    case "reason": say(.string(client.evaluate(words[1], ["user_id": "u"]).reason.rawValue))
    case "expose":
        client.expose(client.evaluate("checkout", ["user_id": .string(words[1])]))
        say(true)
    case "track":
        let context: Context = words[1] == "-" ? [:] : ["user_id": .string(words[1])]
        let id = client.track(words[2], context, value: words.count > 3 ? .decimal(words[3]) : nil)
        say(id.map(JSONValue.string) ?? .null)
    case "telemetry": say(shown(try client.telemetry()))
    case "version": say(client.manifest.map { number($0.version) } ?? .null)
    case "ready": say(.bool(await client.ready(timeoutMs: timeoutMs)))
    case "flush": say(.bool(await client.flush(timeoutMs: timeoutMs)))
    case "close":
        await client.close(timeoutMs: timeoutMs)
        say(.bool(try client.telemetry().heldEvents == 0))
    case "race":
        // Closes while another thread tracks; which events were taken.
        let tracker = Tracker(client)
        await client.close(timeoutMs: timeoutMs)
        say(.array(tracker.ended().map(JSONValue.string)))
    default: say("what?")
    }
}
