package dev.evenhand.internal

import java.math.BigDecimal
import java.math.BigInteger
import java.util.Collections

/**
 * JSON in Kotlin's own values: null, Boolean, String, Long, Double, read-only lists and maps. What is read here comes from the native
 * library or from a line of our own; a library would double the time to the first decision.
 */
internal object Json {
    /** @throws IllegalArgumentException for what is no JSON. */
    fun parse(text: String): Any? = Reader(text).whole()

    /** @throws IllegalArgumentException for what JSON has no form for. */
    fun write(value: Any?): String = StringBuilder().also { write(value, it, 0) }.toString()

    private const val MAX_DEPTH = 100

    private fun write(value: Any?, out: StringBuilder, depth: Int) {
        require(depth <= MAX_DEPTH) { "it is nested deeper than $MAX_DEPTH, or contains itself" }
        when (value) {
            null -> out.append("null")
            is Boolean, is Long, is Int, is Short, is Byte, is BigInteger, is BigDecimal -> out.append(value)
            is Double, is Float -> {
                require((value as Number).toDouble().isFinite()) { "JSON has no $value" }
                out.append(value)
            }
            is CharSequence -> quote(value, out)
            is Map<*, *> -> {
                out.append('{')
                var first = true
                for ((name, member) in value) {
                    require(name is CharSequence) { "the name $name is no text" }
                    if (!first) out.append(',')
                    first = false
                    quote(name, out)
                    out.append(':')
                    write(member, out, depth + 1)
                }
                out.append('}')
            }
            is Iterable<*> -> {
                out.append('[')
                var first = true
                for (element in value) {
                    if (!first) out.append(',')
                    first = false
                    write(element, out, depth + 1)
                }
                out.append(']')
            }
            else -> write(
                requireNotNull(listOfArray(value)) { "a ${value.javaClass.name} has no form in JSON: give text, numbers, booleans, lists and maps" },
                out,
                depth,
            )
        }
    }

    private fun quote(text: CharSequence, out: StringBuilder) {
        out.append('"')
        var i = 0
        while (i < text.length) {
            val unit = text[i++]
            when {
                unit == '"' || unit == '\\' -> out.append('\\').append(unit)
                unit < ' ' -> escape(unit, out)
                !Character.isSurrogate(unit) -> out.append(unit)
                unit.isHighSurrogate() && i < text.length && text[i].isLowSurrogate() -> out.append(unit).append(text[i++])
                // A lone one has no UTF-8.
                else -> escape(unit, out)
            }
        }
        out.append('"')
    }

    private fun escape(unit: Char, out: StringBuilder) {
        out.append("\\u").append(unit.code.toString(16).padStart(4, '0'))
    }

    private class Reader(private val text: String) {
        private var at = 0

        fun whole(): Any? {
            val value = value(0)
            blanks()
            if (at != text.length) fail()
            return value
        }

        private fun fail(): Nothing = throw IllegalArgumentException("no JSON at character $at")

        private fun blanks() {
            while (at < text.length && text[at] in " \t\n\r") at++
        }

        private fun skip(expected: Char) {
            if (at >= text.length || text[at] != expected) fail()
            at++
        }

        private fun value(depth: Int): Any? {
            if (depth > MAX_DEPTH) fail()
            blanks()
            if (at >= text.length) fail()
            return when (text[at]) {
                '{' -> members(depth)
                '[' -> elements(depth)
                '"' -> string()
                't' -> word("true", true)
                'f' -> word("false", false)
                'n' -> word("null", null)
                else -> number()
            }
        }

        private fun word(word: String, value: Any?): Any? {
            if (!text.startsWith(word, at)) fail()
            at += word.length
            return value
        }

        private fun members(depth: Int): Map<String, Any?> {
            val found = LinkedHashMap<String, Any?>()
            at++
            blanks()
            if (at < text.length && text[at] == '}') {
                at++
                return found
            }
            while (true) {
                blanks()
                val name = string()
                blanks()
                skip(':')
                found[name] = value(depth + 1)
                blanks()
                if (at < text.length && text[at] == ',') {
                    at++
                    continue
                }
                skip('}')
                return Collections.unmodifiableMap(found)
            }
        }

        private fun elements(depth: Int): List<Any?> {
            val found = ArrayList<Any?>()
            at++
            blanks()
            if (at < text.length && text[at] == ']') {
                at++
                return found
            }
            while (true) {
                found.add(value(depth + 1))
                blanks()
                if (at < text.length && text[at] == ',') {
                    at++
                    continue
                }
                skip(']')
                return Collections.unmodifiableList(found)
            }
        }

        private fun string(): String {
            skip('"')
            val end = text.indexOf('"', at)
            if (end < 0) fail()
            val plain = text.substring(at, end)
            if ('\\' !in plain) {
                at = end + 1
                return plain
            }
            val found = StringBuilder()
            while (true) {
                if (at >= text.length) fail()
                when (val unit = text[at++]) {
                    '"' -> return found.toString()
                    '\\' -> found.append(escaped())
                    else -> found.append(unit)
                }
            }
        }

        private fun escaped(): Char {
            if (at >= text.length) fail()
            return when (val unit = text[at++]) {
                '"', '\\', '/' -> unit
                'b' -> '\b'
                'f' -> '\u000c'
                'n' -> '\n'
                'r' -> '\r'
                't' -> '\t'
                'u' -> {
                    if (at + 4 > text.length) fail()
                    val code = text.substring(at, at + 4).toIntOrNull(16) ?: fail()
                    at += 4
                    code.toChar()
                }
                else -> fail()
            }
        }

        /** A whole number that a Long holds is one; every other is a Double. */
        private fun number(): Any {
            val start = at
            while (at < text.length && text[at] in "+-0123456789.eE") at++
            val token = text.substring(start, at)
            if (token.none { it in ".eE" } && token != "-0") token.toLongOrNull()?.let { return it }
            return token.toDoubleOrNull() ?: fail()
        }
    }
}
