// Memory, and many threads at a time.
import Evenhand
import Foundation

/// What an engine and a client keep after many decisions, updates and other clients: nothing.
func memory() async throws -> String {
    let text = manifest()
    let engine = try Engine(manifest: data(text))
    let open = try client(text) {
        $0.dedupeCapacity = 1_000
        $0.queueMaxEvents = 100
    }
    let kept: Context = ["user_id": "kept", "country": "NZ", "age": 30, "tags": ["a", "b"]]
    let names = (0..<200).map { "flag-\($0)" }
    var version = 1
    func part(_ decisions: Int, _ updates: Int, _ clients: Int) async throws {
        for i in 0..<decisions {
            let flag = names[i % 200]
            switch i % 4 {
            case 0: _ = open.decide(flag, ["user_id": .string("user-\(i)"), "country": "NZ", "age": AttributeValue(i % 90), "tags": ["a", "b"]])
            case 1: _ = engine.evaluate(flag, ["user_id": .string("user-\(i)"), "country": "NZ", "age": AttributeValue(i % 90)])
            case 2: _ = engine.evaluate(flag, kept).variation
            default:
                let twice: Context = ["user_id": .string("user-\(i)"), "country": "NZ"]
                for _ in 0..<2 { _ = engine.evaluate(flag, twice) }
            }
        }
        for _ in 0..<updates {
            version += 1
            let bytes = data(text, version: version)
            try engine.updateManifest(bytes)
            try open.updateManifest(bytes)
            _ = engine.evaluateAll(kept).map(\.variation)
        }
        for i in 0..<clients {
            // Half are closed, half are let go of.
            let one = try client(text)
            _ = one.decide("flag-0", ["user_id": "u"])
            if i % 2 == 0 { await one.close(timeoutMs: 1) }
        }
        // Those that were let go of end by themselves.
        try await Task.sleep(for: .milliseconds(clients > 0 ? 3_200 : 0))
    }
    try await part(250_000, 250, 60)
    let before = resident()
    for _ in 0..<4 { try await part(250_000, 250, 60) }
    let grown = resident() - before
    await open.close(timeoutMs: 10)
    // A leak of 8 bytes a decision, of 5 % of a manifest an update, or of 40 kB a client is more than this.
    try check(grown < 8 * megabyte, "less than 8 MB more", "\(Double(grown) / Double(megabyte)) MB")
    figures["grown_bytes"] = Double(grown)
    return String(format: "%.1f MB more after 1,000,000 decisions, 1,000 updates, 240 clients", Double(grown) / Double(megabyte))
}

/// Contexts, a client and an engine shared by eight tasks, while two others update: no decision mixes two manifests.
func concurrent() async throws -> String {
    let texts = ["even", "odd"].map { manifest(50, prefix: $0) }
    let engine = try Engine(manifest: data(texts[0], version: 2))
    let open = try client(texts[0]) { $0.queueMaxEvents = 1_000 }
    let contexts = (0..<20).map { ["user_id": .string("u\($0)"), "country": "NZ"] as Context }
    let expected = contexts.indices.map { user in (0..<50).map { at in try! bucket(salt: "s\(at)", unit: "u\(user)").basisPoint < 5_000 ? "a" : "b" } }
    let updates = full ? 4_000 : 400
    let decided = try await withThrowingTaskGroup(of: Int.self) { group in
        group.addTask {
            for version in 3..<updates { try engine.updateManifest(data(texts[version % 2], version: version)) }
            return 0
        }
        group.addTask {
            for version in 3..<updates { try open.updateManifest(data(texts[version % 2], version: version)) }
            return 0
        }
        for task in 0..<8 {
            group.addTask {
                var count = 0
                var last: UInt64 = 0
                while last < UInt64(updates - 1) {
                    for at in 0..<50 {
                        let user = (at + task * 3 + count) % 20
                        let context = count % 3 == 0 ? Context(contexts[user].attributes) : contexts[user]
                        let decision = task % 2 == 0 ? engine.evaluate("flag-\(at)", context) : open.decide("flag-\(at)", context)
                        let prefix = decision.manifestVersion! % 2 == 0 || decision.manifestVersion == 1 ? "even" : "odd"
                        let arm = expected[user][at]
                        guard decision.variation == arm, decision.value == .string("\(prefix)-\(arm)"), decision.experiment == "\(prefix)-experiment-\(at)" else {
                            throw Failed(description: "version \(decision.manifestVersion!): \(decision), \(String(describing: decision.value)), \(String(describing: decision.experiment))")
                        }
                        if task % 4 == 1, at == 0 { open.expose(decision) }
                        last = max(last, decision.manifestVersion!)
                        count += 1
                    }
                    if count % 500 == 0 {
                        for (at, one) in engine.evaluateAll(contexts[task]).enumerated() where one.variation == nil { throw Failed(description: "no variation of flag \(at)") }
                        _ = try open.telemetry()
                        _ = open.track("t", contexts[task])
                    }
                }
                return count
            }
        }
        return try await group.reduce(0, +)
    }
    try check(engine.lastError == nil && open.lastError == nil, "nothing was thrown", (engine.lastError as Any, open.lastError as Any))
    await open.close(timeoutMs: 10)
    return "\(decided) decisions beside \(2 * (updates - 3)) updates"
}

/// A client that is let go of ends by itself, and so do its threads' work and its spool's lock.
func letGo() async throws -> String {
    let folder = try temporary()
    defer { try? FileManager.default.removeItem(at: folder) }
    let spool = folder.appendingPathComponent("spool")
    func lasting() throws -> String? { try client(manifest()) { $0.spool = spool }.track("kept", ["user_id": "u"]) }
    let id = try lasting()
    try check(id != nil, "an event is tracked")
    // Nobody takes the event: the end gives up after two seconds, and writes the spool.
    try await Task.sleep(for: .milliseconds(3_500))
    let heir = try client { $0.spool = spool }
    try check(try heir.telemetry().events.restored == 1, "its event is in the spool", try heir.telemetry())
    try check(heir.decide("flag-0", ["user_id": "u"]).reason == .split, "and its manifest")
    try check(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["spool", "spool.lock"], "the heir has the file itself")
    // Beside it, a second one has a file of its own; the next start takes over both.
    let second = try client { $0.spool = spool }
    _ = second.track("kept", ["user_id": "v"])
    await second.close(timeoutMs: 10)
    await heir.close(timeoutMs: 10)
    let third = try client { $0.spool = spool }
    try check(try third.telemetry().events.restored == 2, "both events come back", try third.telemetry())
    let left = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    try check(left == ["spool", "spool.lock"], "and no other file is left", left)
    let mode = try FileManager.default.attributesOfItem(atPath: spool.path)[.posixPermissions] as? Int
    try check(mode == 0o600, "a spool is its owner's alone", mode as Any)
    await third.close(timeoutMs: 10)
    return ""
}
