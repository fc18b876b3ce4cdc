internal import EvenhandNative

/// Where a unit falls under a salt.
public struct Bucket: Sendable, Hashable {
    /// The hash, 0 to 2^32 − 1.
    public let h: UInt32
    /// 0 to 9999.
    public let basisPoint: Int
    /// The slot of a layer, 0 to 9999.
    public let slot: Int
}

/// The contract's hash of a unit id (non-empty text of at most 4,096 bytes) under a salt (1 to 64 of `[A-Za-z0-9_-]`).
/// - Throws: `EvenhandError` with code `invalid` for what is no salt or no unit id.
public func bucket(salt: String, unit: String) throws -> Bucket {
    guard (1...64).contains(salt.utf8.count), salt.utf8.allSatisfy(isSaltByte) else {
        throw EvenhandError(code: "invalid", message: "the salt must be 1 to 64 of A-Z, a-z, 0-9, _ and -")
    }
    guard (1...4_096).contains(unit.utf8.count) else {
        throw EvenhandError(code: "invalid", message: "a unit id is non-empty text of at most 4,096 bytes, or an integer within ±(2^53 - 1)")
    }
    let row = try native { try bucketOf(salt: salt, unit: unit) }
    return Bucket(h: row.h, basisPoint: Int(row.basisPoint), slot: Int(row.slot))
}

/// The same for a number, which must lie within ±(2^53 − 1).
public func bucket(salt: String, unit: Int64) throws -> Bucket {
    guard unit.magnitude < 1 << 53 else {
        throw EvenhandError(code: "invalid", message: "a unit id is non-empty text of at most 4,096 bytes, or an integer within ±(2^53 - 1)")
    }
    return try bucket(salt: salt, unit: String(unit))
}

private func isSaltByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "_"), UInt8(ascii: "-"):
        true
    default: false
    }
}
