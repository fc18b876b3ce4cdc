// The client without a server.
import Evenhand
import Foundation

func refusedOptions() async throws -> String {
    func refusal(_ url: String = nowhere, _ key: String = "k", _ change: (inout ClientOptions) -> Void = { _ in }) throws -> String {
        var options = ClientOptions()
        options.logger = SilentLogger()
        change(&options)
        do {
            _ = try Client(url: url, key: key, options: options)
        } catch let error as EvenhandError {
            try check(error.code == "invalid", "the code is `invalid`", error)
            return error.message
        }
        return "nothing"
    }
    for (found, begin) in [
        (try refusal("flags.example.com"), "`url` is"), (try refusal("ftp://flags.example.com"), "`url` is"), (try refusal(""), "`url` is"),
        (try refusal(nowhere, ""), "`key` must"), (try refusal(nowhere, "a b"), "`key` must"), (try refusal(nowhere, "schlüssel"), "`key` must"),
        (try refusal { $0.pollIntervalMs = 5 }, "`pollIntervalMs` can't be 5: give it a value from 1000"),
        (try refusal { $0.queueMaxEvents = -1 }, "`queueMaxEvents` is -1"), (try refusal { $0.timeoutMs = 0 }, "`timeoutMs` is 0"),
    ] { try check(found.hasPrefix(begin), "refused: \(begin)", found) }
    try check(try refusal { $0.keys = ["k1": "no key"] } != "nothing", "a key that can't be read is refused")
    return ""
}

func closedClient() async throws -> String {
    let told = Told()
    let empty = try client()
    await empty.close(timeoutMs: 50)
    let clock = ContinuousClock()
    let took = await clock.measure { _ = await empty.ready() }
    try check(took < .seconds(1), "it will never be ready, and says so at once", took)
    let open = try client(manifest(), logger: told)
    let before = open.evaluate("flag-0", ["user_id": "before"])
    try check(open.track("before", ["user_id": "u"]) != nil, "an open client takes events", told.entries)
    let closing = await clock.measure { await open.close(timeoutMs: 200) }
    try check(closing < .seconds(3), "the end comes in time", closing)
    await open.close(timeoutMs: 5_000)
    try check(open.stringValue("flag-0", ["user_id": "u"], fallback: "mine") != "mine", "it decides on")
    try check(open.track("after", ["user_id": "u"]) == nil && told.says("track_refused", "the client is closed"), "an event is refused aloud", told.entries)
    try check(await open.flush() == false, "nothing can be flushed")
    let queued = try open.telemetry().exposures.queued
    try check(open.decide("flag-0", ["user_id": "late"]).reason == .split, "it decides")
    try check(try open.telemetry().exposures.queued == queued, "and queues no exposure")
    told.forget()
    open.expose(open.evaluate("nothing", [:]))
    try check(told.entries.isEmpty, "what has no exposure loses none", told.entries)
    open.expose(before)
    try check(told.says("exposure_lost", "expose before you close it"), "expose says that it is lost", told.entries)
    try check(try open.telemetry().heldEvents == 1, "the one event of before the end is held", try open.telemetry())
    return ""
}

func waiting() async throws -> String {
    let waits = try client()
    let clock = ContinuousClock()
    let task = Task { await waits.ready(timeoutMs: 60_000) }
    try await Task.sleep(for: .milliseconds(50))
    let took = try await clock.measure {
        task.cancel()
        try check(await task.value == false, "a cancelled task is not ready")
    }
    try check(took < .seconds(1), "and waits no longer", took)
    async let first = waits.ready(timeoutMs: 60_000)
    async let second = waits.ready(timeoutMs: 100)
    try check(await second == false, "another's time is up")
    try waits.updateManifest(data(manifest()))
    try check(await first, "a manifest from elsewhere makes it ready")
    try check(waits.decide("flag-0", ["user_id": "u"]).reason == .split && waits.manifest?.version == 1, "and it decides", waits.manifest as Any)
    do {
        try waits.updateManifest(Data("{}".utf8))
        throw Failed(description: "no manifest is taken")
    } catch is EvenhandError {}
    try check(await waits.flush(timeoutMs: 100) == false, "nothing can be sent")
    await waits.close(timeoutMs: 50)
    return ""
}

func changes() async throws -> String {
    let open = try client { $0.staleAfterMs = 1_000 }
    var heard: [Change] = []
    let stream = open.changes()
    let abandoned = open.changes()
    let text = manifest()
    for version in [1, 2, 2] { try open.updateManifest(data(text, version: version)) }
    _ = abandoned
    let end = Task {
        try await Task.sleep(for: .milliseconds(1_500))
        await open.close(timeoutMs: 50)
    }
    for await change in stream { heard.append(change) }
    try await end.value
    try check(heard == [.manifest, .manifest, .stale, .closed], "each change is heard once, and the end ends it", heard)
    for await change in open.changes() { throw Failed(description: "a closed client changes: \(change)") }
    return ""
}

func tracked() async throws -> String {
    let told = Told()
    let open = try client(manifest(), logger: told)
    let properties: [String: JSONValue] = ["plan": "pro", "seats": 3, "nested": ["a": [1, nil]]]
    let ids = [
        open.track("t", ["user_id": "u"]), open.track("t", ["user_id": 7], value: 1.25), open.track("t", ["user_id": "u"], value: "9.99"),
        open.track("t", ["user_id": "u"], value: EventValue(Decimal(string: "0.000001")!)), open.track("t", ["user_id": "u"], value: 12),
        open.track("t", ["user_id": "u"], properties: properties, timestampMs: Int64(Date().timeIntervalSince1970 * 1_000) - 5_000),
    ]
    try check(ids.allSatisfy { $0?.count == 36 } && Set(ids).count == ids.count, "each has an id of its own", (ids, told.entries))
    let refused = [
        open.track("t", [:]), open.track("", ["user_id": "u"]), open.track("t", ["user_id": "u"], value: .number(.nan)),
        open.track("t", ["user_id": "u"], value: "much"), open.track("t", ["user_id": true]), open.track("t", ["user_id": "u"], timestampMs: .max),
        open.track("t", ["user_id": "u"], properties: ["n": .number(.infinity)]),
    ]
    try check(refused.allSatisfy { $0 == nil }, "what the server would refuse has none", refused)
    try check(told.entries.filter { $0.code == "track_refused" }.count == refused.count, "and each is told", told.entries)
    let numbers = try open.telemetry()
    try check(numbers.events.queued == UInt64(ids.count), "as many are queued", numbers.events)
    await open.close(timeoutMs: 50)
    return ""
}

func limits() async throws -> String {
    // Standard error is closed: the default logger ends nothing.
    let kept = dup(2)
    close(2)
    DefaultLogger().log(LogEntry(level: .error, code: "c", message: "nobody reads this"))
    dup2(kept, 2)
    close(kept)
    // Times beyond every clock.
    let open = try client(manifest()) { $0.timeoutMs = .max }
    try check(await open.ready(timeoutMs: .max), "it is ready")
    try check(await open.flush(timeoutMs: .min), "nothing has to be sent")
    try check(open.evaluate("flag-0", ["user_id": "u"], now: .max).reason == .split, "the last moment is one")
    try check(open.evaluate("flag-0", ["user_id": "u"], now: .min).reason == .split, "so is the first")
    await open.close(timeoutMs: .max)
    let again = try client(manifest())
    await again.close(timeoutMs: .min)
    return ""
}

func stores() async throws -> String {
    let folder = try temporary()
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appendingPathComponent("sticky")
    func record(_ unit: String) -> StickyRecord { StickyRecord(experiment: "e", phase: 1, unit: unit, variation: "treatment") }
    try FileStickyStore(file).save(record("before"))
    let torn = try FileHandle(forWritingTo: file)
    try torn.seekToEnd()
    try torn.write(contentsOf: Data(#"{"experiment":"e","phase":1,"unit":"torn","var"#.utf8))
    try torn.close()
    try FileStickyStore(file).save(record("behind"))
    let store = try FileStickyStore(file)
    for (unit, kept) in [("before", 1), ("behind", 1), ("torn", 0)] {
        try check(try store.load(unit: unit).count == kept, "a half-written record takes no other along: \(unit)")
    }
    try FileStickyStore(file).save(record("another's"))
    try await Task.sleep(for: .milliseconds(1_100))
    try check(try store.load(unit: "another's") == [record("another's")], "another's record is seen within a second")

    let memory = MemoryStickyStore(capacity: 3)
    for unit in ["a", "b", "c"] { memory.save(record(unit)) }
    for _ in 0..<1_000 { _ = memory.load(unit: "a") }
    memory.save(record("d"))
    try check(["a", "b", "c", "d"].map { memory.load(unit: $0).count } == [1, 0, 1, 1], "the unit seen least lately goes")

    struct Broken: StickyStore {
        func load(unit: String) throws -> [StickyRecord] { throw Failed(description: "no disk") }
        func save(_ record: StickyRecord) throws { throw Failed(description: "no disk") }
    }
    let told = Told()
    let open = try client(manifest(), logger: told) { $0.stickyStore = Broken() }
    try check(open.decide("flag-0", ["user_id": "u"]).reason == .split, "a store that throws stops no decision")
    try check(told.says("sticky_store", "could not be read"), "and is told", told.entries)
    await open.close(timeoutMs: 50)

    let forced = try client(manifest()) { $0.overrides = ["flag-0": "b"] }
    try check(forced.decide("flag-0", ["user_id": "u"]).reason == .override, "an override of the options holds")
    try check(forced.evaluateAll(["user_id": "u"])["flag-0"]?.variation == "b", "among all too")
    forced.override("flag-0", nil)
    try check(forced.decide("flag-0", ["user_id": "u"]).reason == .split, "and ends")
    await forced.close(timeoutMs: 50)
    return ""
}
