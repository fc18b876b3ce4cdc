package dev.evenhand

import dev.evenhand.internal.FlagTable
import dev.evenhand.internal.RuleTable

/** Which arm of a holdout a unit is in. */
public enum class Arm(
    /** The name that results have for it. */
    public val id: String,
) {
    /** Kept out of the experiments of the holdout. */
    HELD("held"),

    /** Let in. */
    OPEN("open"),
}

/**
 * The exposure of a holdout that goes with a decision.
 *
 * @property holdout the holdout's id.
 * @property arm which arm the unit is in.
 * @property unit the attribute that gives the holdout's unit id.
 */
public data class HoldoutExposure(
    public val holdout: String,
    public val arm: Arm,
    public val unit: String,
)

/**
 * What a flag gives a context, and why. Immutable; it remembers the snapshot that made it, so that an exposure that comes later is
 * read with that one's tables.
 *
 * @property flag the key that was asked for.
 * @property packed all of it in one integer below 2^53, read with the tables of the same snapshot.
 */
public class Decision internal constructor(
    public val flag: String,
    public val packed: Long,
    private val version: Long,
    internal val table: FlagTable?,
    internal val context: Any?,
) {
    // The packed form is read when it is asked for (docs/contract/evaluation.md, "The packed form"): most decisions are asked for a
    // value or two.
    private val decidingRule: RuleTable?
        get() {
            val at = ((packed ushr RULE_SHIFT) and RULE_MASK).toInt()
            return if (at == 0) null else table?.rules?.get(at - 1)
        }

    private val chosen get() = (packed and VARIATION_MASK).toInt().let { if (it == NO_VARIATION) null else table?.variations?.get(it) }

    /** The variation's key; null where the caller's own default counts. */
    public val variation: String? get() = chosen?.key

    /**
     * The variation's value: [Boolean], [String], [Long], [Double], or for a JSON flag null, those, and read-only lists and maps of
     * them. Null where the caller's own default counts.
     */
    public val value: Any? get() = chosen?.value

    /** Why it is so. */
    public val reason: Reason get() = ((packed ushr REASON_SHIFT) and REASON_MASK).toInt().let { if (it < Reason.all.size) Reason.all[it] else Reason.ERROR }

    /** The id of the rule that decided. */
    public val rule: String? get() = if (reason == Reason.OVERRIDE) null else decidingRule?.id

    /** The id of the experiment it belongs to. */
    public val experiment: String? get() = decidingRule?.experiment

    /** The experiment's phase, 0 to 2^32 − 1. */
    public val phase: Long? get() = decidingRule?.phase

    /** The epoch inside the phase, 0 to 2^32 − 1. */
    public val epoch: Long? get() = decidingRule?.epoch

    /** The split's basis point, 0 to 9999. */
    public val bucket: Int? get() = ((packed ushr BUCKET_SHIFT) and BUCKET_MASK).toInt().let { if (it == NO_BUCKET) null else it }

    /** The version of the manifest; null when there was none. */
    public val manifestVersion: Long? get() = if (version == NO_VERSION) null else version

    /** Whether an exposure goes with it: `decide` queues it, `expose` does later. */
    public val exposure: Boolean
        get() = when (reason) {
            Reason.SPLIT, Reason.STICKY -> true
            Reason.OVERRIDE -> experiment != null
            else -> false
        }

    /** The exposures of holdouts that go with it. */
    public val holdoutExposures: List<HoldoutExposure>
        get() {
            val exposed = ((packed ushr EXPOSED_SHIFT) and EXPOSED_MASK).toInt()
            val rule = decidingRule
            if (exposed == 0 || rule == null) return emptyList()
            val held = ((packed ushr HELD_SHIFT) and HELD_MASK).toInt() - 1
            return rule.holdouts.indices.filter { at -> (exposed ushr at) and 1 == 1 }.map { at ->
                val of = rule.holdouts[at]
                HoldoutExposure(of.holdout, if (at == held) Arm.HELD else Arm.OPEN, of.unit)
            }
        }

    /** Whether `expose` would queue anything. */
    internal val exposes: Boolean get() = exposure || (packed ushr EXPOSED_SHIFT) and EXPOSED_MASK != 0L

    override fun toString(): String = "Decision(flag=$flag, variation=$variation, reason=$reason)"

    internal companion object {
        const val NO_VERSION = -1L
        private const val NO_VARIATION = 255
        private const val NO_BUCKET = 16_383
        private const val VARIATION_MASK = 0xffL
        private const val REASON_SHIFT = 8
        private const val REASON_MASK = 0x1fL
        private const val BUCKET_SHIFT = 13
        private const val BUCKET_MASK = 0x3fffL
        private const val RULE_SHIFT = 27
        private const val RULE_MASK = 0xfffL
        private const val HELD_SHIFT = 39
        private const val HELD_MASK = 0xfL
        private const val EXPOSED_SHIFT = 43
        private const val EXPOSED_MASK = 0xffL

        /** A decision that leaves the caller its default. */
        fun callersDefault(flag: String, reason: Reason, version: Long): Decision {
            val packed = NO_VARIATION.toLong() or (reason.ordinal.toLong() shl REASON_SHIFT) or (NO_BUCKET.toLong() shl BUCKET_SHIFT)
            return Decision(flag, packed, version, null, null)
        }
    }
}
