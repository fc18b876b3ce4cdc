// Values as the vectors write them, and lines as the differ reads them.
import com.fasterxml.jackson.databind.JsonNode
import org.erdtman.jcs.NumberToJSON

private val MARK = setOf("\$special", "text", "times", "item")

/** A context value as the files write it, in Kotlin's own values. */
fun handedIn(value: JsonNode): Any? = when {
    value.isNull -> null
    value.isTextual -> value.textValue()
    value.isBoolean -> value.booleanValue()
    // Int, Long or BigInteger, whichever holds it; with a fraction or an exponent a Double.
    value.isNumber -> value.numberValue()
    value.isArray -> value.map(::handedIn)
    else -> special(value) ?: value.properties().associate { (name, member) -> name to handedIn(member) }
}

private fun special(value: JsonNode): Any? {
    if (value.isEmpty || !value.fieldNames().asSequence().all(MARK::contains)) return null
    return when (value["\$special"]?.textValue()) {
        "nan" -> Double.NaN
        "inf" -> Double.POSITIVE_INFINITY
        "-inf" -> Double.NEGATIVE_INFINITY
        "lone_surrogate" -> "\ud800"
        "repeat" -> value["text"].textValue().repeat(value["times"].intValue())
        "repeat_list" -> List(value["times"].intValue()) { handedIn(value["item"]) }
        else -> null
    }
}

/** RFC 8785. */
fun canonical(value: Any?): String = StringBuilder().also { write(value, it) }.toString()

/** The same in ASCII: everything else escaped, unit by unit. */
fun line(value: Any?): String {
    val text = StringBuilder()
    for (unit in canonical(value)) {
        if (unit in ' '..'~') text.append(unit) else text.append("\\u%04x".format(unit.code))
    }
    return text.toString()
}

private fun write(value: Any?, out: StringBuilder) {
    when (value) {
        null, is Boolean -> out.append(value)
        is Number -> out.append(NumberToJSON.serializeNumber(value.toDouble()))
        is String -> quote(value, out)
        is List<*> -> {
            out.append('[')
            value.forEachIndexed { at, element ->
                if (at > 0) out.append(',')
                write(element, out)
            }
            out.append(']')
        }
        is Map<*, *> -> {
            out.append('{')
            // By UTF-16 units, as String compares.
            value.entries.sortedBy { it.key as String }.forEachIndexed { at, (name, member) ->
                if (at > 0) out.append(',')
                quote(name as String, out)
                out.append(':')
                write(member, out)
            }
            out.append('}')
        }
        else -> error("${value.javaClass} is no value of JSON")
    }
}

private fun quote(text: String, out: StringBuilder) {
    out.append('"')
    for (unit in text) {
        when (unit) {
            '"', '\\' -> out.append('\\').append(unit)
            '\b' -> out.append("\\b")
            '\u000c' -> out.append("\\f")
            '\n' -> out.append("\\n")
            '\r' -> out.append("\\r")
            '\t' -> out.append("\\t")
            else -> if (unit < ' ') out.append("\\u%04x".format(unit.code)) else out.append(unit)
        }
    }
    out.append('"')
}

fun compareBytes(one: String, other: String): Int = java.util.Arrays.compareUnsigned(one.toByteArray(), other.toByteArray())
