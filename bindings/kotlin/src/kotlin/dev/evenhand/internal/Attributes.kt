package dev.evenhand.internal

import java.util.Collections

/** A copy that nobody changes: of the map, and of the lists in it. */
internal fun copied(attributes: Map<String, *>): Map<String, Any?> {
    val copy = LinkedHashMap<String, Any?>(attributes.size * 2)
    for ((name, value) in attributes) copy[name] = lasting(value)
    return Collections.unmodifiableMap(copy)
}

/** The value, as one that can't change any more. */
private fun lasting(value: Any?): Any? = when (value) {
    null, is String, is Boolean, is Long, is Int, is Double -> value
    is CharSequence -> value.toString()
    // One numeric type; an AtomicLong counts as what it is now.
    is Number -> value.toDouble()
    is Collection<*> -> value.map(::lasting)
    else -> if (value.javaClass.isArray) listOfArray(value)?.map(::lasting) ?: value else value
}

/** The elements of an array of any kind but `char`, whose elements are no attributes. */
internal fun listOfArray(array: Any): List<Any?>? = when (array) {
    is Array<*> -> array.asList()
    is IntArray -> array.asList()
    is LongArray -> array.asList()
    is DoubleArray -> array.asList()
    is FloatArray -> array.asList()
    is ShortArray -> array.asList()
    is ByteArray -> array.asList()
    is BooleanArray -> array.asList()
    else -> null
}

/** Whether a text is Unicode: no lone surrogate. */
internal fun isWellFormed(text: String): Boolean {
    var i = 0
    while (i < text.length) {
        val unit = text[i++]
        if (!Character.isSurrogate(unit)) continue
        if (unit.isLowSurrogate() || i == text.length || !text[i].isLowSurrogate()) return false
        i++
    }
    return true
}
