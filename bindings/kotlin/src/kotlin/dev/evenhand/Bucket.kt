@file:JvmName("Evenhand")

package dev.evenhand

import dev.evenhand.generated.NativeException
import dev.evenhand.internal.Native
import dev.evenhand.internal.isWellFormed
import java.math.BigInteger

/**
 * Where a unit falls under a salt.
 *
 * @property h the hash, 0 to 2^32 − 1.
 * @property basisPoint 0 to 9999.
 * @property slot the slot of a layer, 0 to 999.
 */
public data class Bucket(
    public val h: Long,
    public val basisPoint: Int,
    public val slot: Int,
)

private const val MAX_UNIT_BYTES = 4_096
private const val MAX_SAFE_INTEGER = 9_007_199_254_740_991.0
private val SALT = Regex("[A-Za-z0-9_-]{1,64}")

/**
 * The contract's hash of a unit id under a salt.
 *
 * @param salt 1 to 64 of `[A-Za-z0-9_-]`.
 * @param unit text of 1 to 4,096 bytes, or a [Number] that is an integer within ±(2^53 − 1).
 * @throws IllegalArgumentException for what is no salt or no unit id.
 */
public fun bucket(salt: String, unit: Any): Bucket {
    require(SALT.matches(salt)) { "the salt must be 1 to 64 of A-Z, a-z, 0-9, _ and -" }
    val row = Native.core.bucketOf(salt, unitText(unit))
    return Bucket(row.h.toLong(), row.basisPoint.toInt(), row.slot.toInt())
}

private fun unitText(unit: Any): String {
    if (unit is String && unit.isNotEmpty() && isWellFormed(unit) && unit.toByteArray().size <= MAX_UNIT_BYTES) return unit
    if (unit is Number) {
        val exact = if (unit is Long || unit is BigInteger) BigInteger(unit.toString()) else null
        val number = unit.toDouble()
        val whole = number % 1.0 == 0.0 && number in -MAX_SAFE_INTEGER..MAX_SAFE_INTEGER
        if (whole && (exact == null || exact.bitLength() <= 53)) return number.toLong().toString()
    }
    throw IllegalArgumentException("a unit id is non-empty Unicode text of at most 4,096 bytes, or an integer within ±(2^53 - 1)")
}

/** What an override token says, or why it counts for nothing. */
public sealed class OverrideResult {
    /**
     * The token is valid: pass `mapOf(flag to variation)` as `forced`.
     *
     * @property flag the flag's key.
     * @property variation the variation's key.
     * @property expiresAt milliseconds since 1970.
     */
    public data class Valid(
        public val flag: String,
        public val variation: String,
        public val expiresAt: Long,
    ) : OverrideResult()

    /**
     * The token counts for nothing.
     *
     * @property code the stable name of the reason: `malformed`, `expired`, `wrong_signature`, …
     * @property message what is wrong, for people.
     */
    public data class Invalid(
        public val code: String,
        public val message: String,
    ) : OverrideResult()
}

/**
 * Verifies an override token (from a header, cookie or link).
 *
 * @param keys the environment's Ed25519 public keys for overrides, base64url. Any of them may have signed.
 * @param environment the environment's id.
 * @param now milliseconds since 1970; the clock's when left out.
 * @throws IllegalArgumentException for a key that can't be read. A token that is not valid is told, not thrown.
 */
@JvmOverloads
public fun verifyOverride(
    token: String,
    keys: List<String>,
    environment: String,
    now: Long = System.currentTimeMillis(),
): OverrideResult {
    if (!isWellFormed(token)) return OverrideResult.Invalid("malformed", "the override token is no text: copy the link again, whole")
    val numbered = keys.withIndex().associate { (at, key) -> at.toString() to key }
    return try {
        val found = Native.core.verifyOverrideToken(token, numbered, environment, now)
        OverrideResult.Valid(found.flag, found.variation, found.expiresAtMs)
    } catch (refused: NativeException.Refused) {
        OverrideResult.Invalid(refused.code, refused.detail)
    } catch (invalid: NativeException.Invalid) {
        throw IllegalArgumentException(invalid.detail)
    }
}
