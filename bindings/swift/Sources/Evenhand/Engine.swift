internal import EvenhandNative
import Foundation

/// A part of a manifest that did not compile: that flag answers `off` with UNSUPPORTED, the others are as ever.
public struct Fault: Sendable, Hashable, Decodable {
    /// The flag's key; nil for a broken segment, layer, holdout or list as such.
    public let flag: String?
    /// Where, as `flags.checkout.rules[2].when`; line and column (in bytes) count from 1.
    public let path: String
    public let line: Int
    public let column: Int
    /// What is wrong, and how to mend it.
    public let message: String
    public let remedy: String
}

/// An id list that flags need and that was not supplied (or was refused): they answer NOT_READY.
public struct MissingList: Sendable, Hashable, Decodable {
    public let list: String
    public let sha256: String
    public let refused: String?
}

/// Decides flags by a manifest held in memory: no network, no clock but the caller's, no exposures. `Client` adds those.
///
/// Decisions throw nothing: whatever is wrong, the caller gets a decision and its reason. Any thread may use it at any time.
public final class Engine: Sendable {
    private let native: NativeEngine
    private let cell: Cell<Snapshot>
    private let unusable = UnusableCounts()
    private let error = Guarded<(any Error)?>(nil)

    /// - Parameters:
    ///   - manifest: bare or signed; one may also be handed to `updateManifest` later.
    ///   - keys: the publisher's Ed25519 public keys by key id, base64url. With any, only manifests signed by one of them are taken.
    ///   - environment: refuse manifests of other environments.
    ///   - audience: refuse manifests made for others.
    ///   - lists: blobs of the id lists that the manifests name.
    /// - Throws: `EvenhandError` for a key that can't be read, and for a manifest or list that is refused.
    public init(
        manifest: Data? = nil, keys: [String: String] = [:], environment: String? = nil, audience: Audience? = nil, lists: [Data] = []
    ) throws {
        let settings = EngineSettings(keys: keys, environment: environment, audience: audience?.rawValue)
        native = try Evenhand.native { try NativeEngine(settings: settings) }
        cell = Cell(nil)
        for list in lists { try addList(list) }
        if let manifest { try updateManifest(manifest) }
    }

    deinit { cell.destroy() }

    /// Takes the blob of an id list, for manifests handed in afterwards.
    /// - Throws: `EvenhandError` with code `bad_list` when it is none.
    public func addList(_ blob: Data) throws { try Evenhand.native { try native.addList(blob: blob) } }

    /// Puts a manifest, bare or signed, in the place of the one held, as a whole.
    /// - Throws: `EvenhandError` when it is refused; the engine then keeps what it holds.
    public func updateManifest(_ manifest: Data) throws {
        try Evenhand.native { cell.replace(try Snapshot(native.update(manifest: manifest), unusable: unusable)) }
    }

    /// Which manifest is held; nil when there is none.
    public var manifest: ManifestInfo? { cell.value.map(ManifestInfo.init) }

    /// Evaluates a flag. Nothing is logged and nothing thrown.
    /// - Parameters:
    ///   - now: milliseconds since 1970; the clock's when left out.
    ///   - type: what the caller expects: another gives TYPE_MISMATCH. An `int` flag may be asked for as `float`.
    public func evaluate(_ flag: String, _ context: Context, now: Int64? = nil, type: FlagType? = nil) -> Decision {
        guard let snapshot = cell.value else { return Decision(flag: flag, reason: .noManifest, manifestVersion: nil) }
        do {
            var queued = false
            return try snapshot.evaluate(flag, context, now: now, type: type, session: nil, queued: &queued)
        } catch {
            keep(error)
            return Decision(flag: flag, reason: .error, manifestVersion: snapshot.version)
        }
    }

    /// Evaluates all flags of the manifest.
    public func evaluateAll(_ context: Context, now: Int64? = nil) -> Decisions {
        guard let snapshot = cell.value else { return Decisions() }
        do {
            return try snapshot.evaluateAll(context, now: now)
        } catch {
            keep(error)
            return snapshot.failed(context)
        }
    }

    /// The value of a `bool` flag, or `fallback` when there is none.
    public func booleanValue(_ flag: String, _ context: Context, fallback: Bool, now: Int64? = nil) -> Bool {
        evaluate(flag, context, now: now, type: .bool).value?.boolValue ?? fallback
    }

    /// The value of a `string` flag, or `fallback` when there is none.
    public func stringValue(_ flag: String, _ context: Context, fallback: String, now: Int64? = nil) -> String {
        evaluate(flag, context, now: now, type: .string).value?.stringValue ?? fallback
    }

    /// The value of an `int` flag, or `fallback` when there is none.
    public func intValue(_ flag: String, _ context: Context, fallback: Int, now: Int64? = nil) -> Int {
        evaluate(flag, context, now: now, type: .int).value?.intValue ?? fallback
    }

    /// The value of a `float` or `int` flag, or `fallback` when there is none.
    public func doubleValue(_ flag: String, _ context: Context, fallback: Double, now: Int64? = nil) -> Double {
        evaluate(flag, context, now: now, type: .float).value?.doubleValue ?? fallback
    }

    /// The value of a `json` flag, or `fallback` when there is none.
    public func jsonValue(_ flag: String, _ context: Context, fallback: JSONValue, now: Int64? = nil) -> JSONValue {
        evaluate(flag, context, now: now, type: .json).value ?? fallback
    }

    /// A decision and how it came about: every rule, every step, every leaf. For people; its shape may grow.
    /// - Throws: `EvenhandError` with code `no_manifest` when there is none.
    public func explain(_ flag: String, _ context: Context, now: Int64? = nil) throws -> JSONValue {
        guard let snapshot = cell.value else {
            throw EvenhandError(code: "no_manifest", message: "there is no manifest to explain by: hand one to updateManifest first")
        }
        return try Evenhand.native { try snapshot.explain(flag, context, now: now) }
    }

    /// The flags of the manifest held.
    public func flags() -> [FlagInfo] { cell.value?.flags() ?? [] }

    /// What did not compile in the manifest held.
    public func faults() throws -> [Fault] { try report().faults }

    /// Id lists that the manifest held names and that were not there when it was handed in.
    public func missingLists() throws -> [MissingList] { try report().missing_lists }

    private struct Report: Decodable {
        let faults: [Fault]
        let missing_lists: [MissingList]
    }

    private func report() throws -> Report {
        try Evenhand.native { try JSONDecoder().decode(Report.self, from: Data(native.reportJson().utf8)) }
    }

    /// How often an attribute that a rule asks for was there but unusable, by name; at most 1,000 names.
    public var unusableAttributes: [String: Int] { unusable.all }

    /// What was thrown behind the last decision with reason ERROR; nil when there was none.
    public var lastError: EvenhandError? { error.withLock { $0.map(EvenhandError.init) } }

    private func keep(_ thrown: any Error) { error.withLock { $0 = thrown } }
}
