import Evenhand
import Foundation

struct Failed: Error, CustomStringConvertible { let description: String }

func check(_ holds: Bool, _ what: String, _ found: Any = "") throws {
    if !holds { throw Failed(description: "\(what); found: \(found)") }
}

/// Keeps what it is told.
final class Told: ClientLogger, @unchecked Sendable {
    private let lock = NSLock()
    private var kept: [LogEntry] = []

    func log(_ entry: LogEntry) { lock.withLock { kept.append(entry) } }
    var entries: [LogEntry] { lock.withLock { kept } }
    func says(_ code: String, _ part: String = "") -> Bool { entries.contains { $0.code == code && $0.message.contains(part) } }
    func forget() { lock.withLock { kept = [] } }
}

private let whole = 4_294_967_296

/// One experiment; half have targeting.
private func flag(_ at: Int, _ prefix: String) -> JSONValue {
    let targeted: JSONValue = [
        "any": [
            ["op": "str_in", "attr": "country", "values": ["NZ", "DE", "US"]],
            ["op": "num_gte", "attr": "age", "value": 18],
        ]
    ]
    let when: JSONValue = at % 2 == 0 ? ["all": []] : targeted
    let traffic: JSONValue = ["hash": "murmur3_32", "salt": "t\(at)", "ranges": [[0, .number(Double(whole))]]]
    let ranges: JSONValue = [[0, .number(Double(whole / 2)), "a"], [.number(Double(whole / 2)), .number(Double(whole)), "b"]]
    let split: JSONValue = ["hash": "murmur3_32", "salt": "s\(at)", "ranges": ranges]
    let rule: JSONValue = [
        "id": "rule-\(at)", "kind": "experiment", "experiment": "\(prefix)-experiment-\(at)", "phase": 1, "unit": "user_id", "when": when,
        "traffic": traffic, "split": split,
    ]
    let variations: JSONValue = [["key": "a", "value": "\(prefix)-a"], ["key": "b", "value": "\(prefix)-b"]]
    return ["type": "string", "off": "a", "default": "a", "variations": variations, "rules": [rule]]
}

/// A bare manifest of `count` experiments, of version 1.
func manifest(_ count: Int = 200, prefix: String = "arm", more: [String: JSONValue] = [:]) -> String {
    var flags = more
    for at in 0..<count { flags["flag-\(at)"] = flag(at, prefix) }
    let body: JSONValue = [
        "schema": 1, "environment": "e", "audience": "server", "generation": 1, "version": 1, "issued_at_ms": 0, "flags": .object(flags),
    ]
    return String(decoding: try! JSONEncoder().encode(body), as: UTF8.self)
}

func data(_ manifest: String, version: Int = 1) -> Data {
    Data(manifest.replacingOccurrences(of: "\"version\":1,", with: "\"version\":\(version),").replacingOccurrences(of: "\"version\":1}", with: "\"version\":\(version)}").utf8)
}

/// Resident bytes of this process, native memory included.
func resident() -> Int {
    let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    return Int(text.split(separator: " ")[1])! * sysconf(Int32(_SC_PAGESIZE))
}

let megabyte = 1 << 20

/// An address where nobody listens.
let nowhere = "http://127.0.0.1:9"

func client(_ manifest: String? = nil, logger: any ClientLogger = SilentLogger(), _ more: (inout ClientOptions) -> Void = { _ in }) throws -> Client {
    var options = ClientOptions()
    options.logger = logger
    options.stream = false
    if let manifest { options.bootstrap = .data(Data(manifest.utf8)) }
    more(&options)
    return try Client(url: nowhere, key: "k", options: options)
}

func temporary() throws -> URL {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("evenhand-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    return url
}
