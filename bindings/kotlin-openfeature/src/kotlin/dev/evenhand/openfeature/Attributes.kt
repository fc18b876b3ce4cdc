package dev.evenhand.openfeature

import dev.openfeature.sdk.EvaluationContext
import dev.openfeature.sdk.Structure
import dev.openfeature.sdk.Value
import java.time.Instant
import java.time.ZoneOffset
import java.time.format.DateTimeFormatter

/**
 * An OpenFeature context as attributes. Its targeting key is the `unit`, unless the context has an attribute of that name. A view: a
 * flag asks for an attribute or two, and the rest of a context need not be read.
 */
internal class Attributes(private val context: EvaluationContext?, private val unit: String) : AbstractMap<String, Any?>() {
    override val entries: Set<Map.Entry<String, Any?>>
        get() {
            val names = LinkedHashSet(context?.keySet().orEmpty())
            names.remove(EvaluationContext.TARGETING_KEY)
            names.add(unit)
            return names.mapNotNullTo(LinkedHashSet()) { name -> get(name)?.let { Entry(name, it) } }
        }

    override fun containsKey(key: String): Boolean = get(key) != null

    override fun get(key: String): Any? = if (key == unit) own() ?: context?.targetingKey?.ifEmpty { null } else plain(key)

    /** The attribute of the unit's name. */
    private fun own(): Any? = plain(unit).let { if (it == "") null else it }

    private fun plain(key: String): Any? = if (key == EvaluationContext.TARGETING_KEY) null else context?.getValue(key)?.let(::attribute)

    val hasUnit: Boolean get() = get(unit) != null

    private data class Entry(override val key: String, override val value: Any?) : Map.Entry<String, Any?>
}

/** Instants as the operators read them. What they can't use stays as it is: the client counts it as unusable. */
private fun attribute(value: Value): Any? = when (val plain = value.asObject()) {
    is Instant -> plain.text() ?: plain
    is List<*> -> plain.map { element -> if (element is Value) attribute(element) else element }
    else -> plain
}

/** The details of a tracking event as properties: JSON, with instants as text. */
internal fun properties(structure: Structure): Map<String, Any?> = structure.asUnmodifiableMap().mapValues { (_, value) -> property(value) }

private fun property(value: Value?): Any? = when (val plain = value?.asObject()) {
    is Instant -> plain.text() ?: plain.toString()
    is Structure -> properties(plain)
    is List<*> -> plain.map { element -> if (element is Value) property(element) else element }
    else -> plain
}

private val RFC_3339 = DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC)

/** The years that RFC 3339 has, in seconds since 1970: 0000 to 9999. */
private val SECONDS = -62_167_219_200..253_402_300_799

/** RFC 3339 in UTC, to the millisecond; null out of its years. */
private fun Instant.text(): String? = if (epochSecond in SECONDS) RFC_3339.format(this) else null
