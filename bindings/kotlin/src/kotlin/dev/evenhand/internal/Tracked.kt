package dev.evenhand.internal

import dev.evenhand.generated.TrackedUnit
import java.math.BigDecimal

/** The units among a context's attributes, as an event has them. */
internal fun trackedUnits(unitTypes: List<String>, attributes: Map<String, *>): List<TrackedUnit> = unitTypes.mapNotNull { name ->
    when (val value = attributes[name]) {
        null -> null
        is CharSequence -> value.toString().let { TrackedUnit(name, if (isWellFormed(it)) it else null, null) }
        is Number -> TrackedUnit(name, null, value.toDouble())
        else -> TrackedUnit(name, null, null)
    }
}

/** A number as decimal text, exact; null for a double, which goes as it is. */
internal fun decimal(number: Number): String? = when (number) {
    is Double, is Float -> null
    // As it would be written out, unless that has no end: the library refuses it then.
    is BigDecimal -> if (kotlin.math.abs(number.scale().toLong()) > MAX_DIGITS) number.toString() else number.toPlainString()
    else -> number.toString()
}

private const val MAX_DIGITS = 1_000L
