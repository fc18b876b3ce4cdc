package dev.evenhand.internal

import dev.evenhand.FlagType

// What a start reads of the library. Not the generated records: these and their converters are thirty classes, which a JVM loads for
// longer than all the rest takes to the first decision.

/** What a snapshot says about itself: attributes by their index in records, flags by theirs. */
internal class SnapshotFacts(
    @JvmField val environment: String,
    @JvmField val generation: Long,
    @JvmField val version: Long,
    @JvmField val attributes: Array<String>,
    @JvmField val keys: Array<String>,
    @JvmField val types: Array<FlagType?>,
)

/** What a flag's packed decisions are read with. */
internal class FlagFacts(
    @JvmField val type: FlagType?,
    @JvmField val variations: Array<VariationTable>,
    @JvmField val rules: Array<RuleTable>,
    /** Indices of the attributes that the flag can ask for. */
    @JvmField val attributes: IntArray,
)

/** A rule, as decisions are read with it. */
internal class RuleTable(
    @JvmField val id: String,
    @JvmField val experiment: String?,
    @JvmField val phase: Long?,
    @JvmField val epoch: Long?,
    @JvmField val holdouts: Array<HoldoutUnit>,
)

/** A holdout of a rule, and the attribute that gives its unit id. */
internal class HoldoutUnit(@JvmField val holdout: String, @JvmField val unit: String)

/** A variation; its value is parsed when it is first asked for, and shared by all decisions of the snapshot. */
internal class VariationTable(@JvmField val key: String, json: String) {
    private var json: String? = json

    @Volatile
    private var parsed: Any? = UNPARSED

    val value: Any?
        get() {
            val known = parsed
            return if (known === UNPARSED) parse() else known
        }

    @Synchronized
    private fun parse(): Any? {
        json?.let { text ->
            parsed = Json.parse(text)
            json = null
        }
        return parsed
    }

    private companion object {
        val UNPARSED = Any()
    }
}
