package dev.evenhand.internal

import dev.evenhand.FlagType
import dev.evenhand.generated.FlagTablesRow
import dev.evenhand.generated.ValueType

/** A rule, as decisions are read with it. */
internal class RuleTable(
    @JvmField val id: String,
    @JvmField val experiment: String?,
    @JvmField val phase: Long?,
    @JvmField val epoch: Long?,
    @JvmField val holdouts: Array<HoldoutUnit>,
)

/** A holdout of a rule, and the attribute that gives its unit id. */
internal data class HoldoutUnit(val holdout: String, val unit: String)

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

/** A flag of one snapshot. */
internal class FlagTable(
    @JvmField val of: Snapshot,
    @JvmField val index: Int,
    tables: FlagTablesRow,
    attributes: Array<Asked>,
) {
    @JvmField
    val type: FlagType? = flagType(tables.valueType)

    @JvmField
    val variations: Array<VariationTable> = Array(tables.variations.size) { at ->
        tables.variations[at].let { VariationTable(it.key, it.valueJson) }
    }

    @JvmField
    val rules: Array<RuleTable> = Array(tables.rules.size) { at ->
        val rule = tables.rules[at]
        val holdouts = Array(rule.holdouts.size) { of -> rule.holdouts[of].let { HoldoutUnit(it.holdout, it.unit) } }
        RuleTable(rule.id, rule.experiment, rule.phase?.toLong(), rule.epoch?.toLong(), holdouts)
    }

    /** The attributes that this flag can ask for. */
    @JvmField
    val asked: Array<Asked> = Array(tables.attributes.size) { at -> attributes[tables.attributes[at].toInt()] }

    /** Whether it may be asked for as `wanted`. One whose type can't be read answers UNSUPPORTED by itself. */
    fun gives(wanted: FlagType): Boolean = type == null || type == wanted || (type == FlagType.INT && wanted == FlagType.FLOAT)
}

internal fun flagType(type: ValueType?): FlagType? = when (type) {
    null -> null
    ValueType.BOOL -> FlagType.BOOL
    ValueType.STRING -> FlagType.STRING
    ValueType.INT -> FlagType.INT
    ValueType.FLOAT -> FlagType.FLOAT
    ValueType.JSON -> FlagType.JSON
}
