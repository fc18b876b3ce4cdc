package dev.evenhand

/** The type of a flag's values. */
public enum class FlagType {
    /** [Boolean] */
    BOOL,

    /** [String] */
    STRING,

    /** [Long] */
    INT,

    /** [Double] */
    FLOAT,

    /** Anything that JSON has: null, [Boolean], [String], [Long], [Double], read-only lists and maps. */
    JSON,
}

/**
 * A flag, as a manifest lists it.
 *
 * @property key the key; hashed in a manifest made for client-side use.
 * @property type null when the flag did not compile and that could not be read.
 */
public data class FlagInfo(
    public val key: String,
    public val type: FlagType?,
)

/**
 * The manifest in use.
 *
 * @property environment the environment's id.
 * @property generation counts restorations of the publisher's data.
 * @property version counts publications.
 */
public data class ManifestInfo(
    public val environment: String,
    public val generation: Long,
    public val version: Long,
)

/**
 * What to decide by, beside flag and context.
 *
 * @property now milliseconds since 1970; the clock's when left out.
 * @property type the type the caller expects: another gives TYPE_MISMATCH. An `int` flag may be asked for as `float`.
 * @property sticky stored assignments, behind those of the context.
 * @property forced variations by flag, before those of the context.
 */
public class EvaluateOptions @JvmOverloads constructor(
    public val now: Long? = null,
    public val type: FlagType? = null,
    public val sticky: List<StickyRecord>? = null,
    public val forced: Map<String, String>? = null,
)
