package dev.evenhand.internal

import dev.evenhand.FlagType

/** A flag of one snapshot. */
internal class FlagTable(
    @JvmField val of: Snapshot,
    @JvmField val index: Int,
    facts: FlagFacts,
    attributes: Array<Asked>,
) {
    @JvmField
    val type: FlagType? = facts.type

    @JvmField
    val variations: Array<VariationTable> = facts.variations

    @JvmField
    val rules: Array<RuleTable> = facts.rules

    /** The attributes that this flag can ask for. */
    @JvmField
    val asked: Array<Asked> = Array(facts.attributes.size) { at -> attributes[facts.attributes[at]] }

    /** Whether it may be asked for as `wanted`. One whose type can't be read answers UNSUPPORTED by itself. */
    fun gives(wanted: FlagType): Boolean = type == null || type == wanted || (type == FlagType.INT && wanted == FlagType.FLOAT)
}
