internal import EvenhandNative

/// What a verified override token grants. Pass it on as `Context(attributes, forced: [granted.flag: granted.variation])`.
public struct GrantedOverride: Sendable, Hashable {
    public let flag: String
    public let variation: String
    /// Milliseconds since 1970.
    public let expiresAtMs: Int64
}

/// Verifies an override token (from a header, cookie or link).
/// - Parameters:
///   - keys: the environment's Ed25519 public keys for overrides, base64url. Any of them may have signed.
///   - environment: the environment's id.
///   - now: milliseconds since 1970; the clock's when left out.
/// - Throws: `EvenhandError`: code `invalid` for a key that can't be read, another (`malformed`, `expired`, …) for a token that is not valid.
public func verifyOverride(_ token: String, keys: [String], environment: String, now: Int64? = nil) throws -> GrantedOverride {
    // Which of the keys has signed does not matter: a token names none.
    let numbered = Dictionary(uniqueKeysWithValues: keys.enumerated().map { (String($0.offset), $0.element) })
    let found = try native { try verifyOverrideToken(token: token, keys: numbered, environment: environment, nowMs: now ?? nowMs()) }
    return GrantedOverride(flag: found.flag, variation: found.variation, expiresAtMs: found.expiresAtMs)
}
