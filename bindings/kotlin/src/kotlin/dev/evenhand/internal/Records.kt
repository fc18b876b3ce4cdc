package dev.evenhand.internal

import java.nio.ByteBuffer
import java.nio.ByteOrder

private const val FALSE = -1
private const val TRUE = -2
private const val NUMBER = -3
private const val UNUSABLE = -4
private const val LIST = -16

private const val MAX_TEXT_BYTES = 65_536
private const val MAX_LIST_ELEMENTS = 1_000
private const val NOT_USABLE = -1

/** An attribute that a flag can ask for: its place in the snapshot, and its name. */
internal class Asked(@JvmField val index: Int, @JvmField val name: String)

/**
 * Attributes as the native half reads them (core/eval/src/flat.rs): records in one direct buffer in the machine's byte
 * order, each a multiple of eight bytes. Written here, not fetched one by one through JNI, where each would cost a call back.
 *
 * Each thread has its own and writes into it anew for every decision.
 */
internal class Records private constructor() {
    private var buffer: ByteBuffer = direct(INITIAL_BYTES)

    /** Where the buffer begins. */
    @JvmField
    var address: Long = Native.core.addressOf(buffer)

    private var busy = false

    /** The bytes themselves, for a core that takes no address. */
    fun bytes(length: Int): ByteArray = ByteArray(length).also { copyTo(ByteBuffer.wrap(it), length) }

    /** The bytes themselves, behind what stands there. */
    fun copyTo(into: ByteBuffer, length: Int) {
        val view = buffer.duplicate()
        cut(view, length)
        into.put(view)
    }

    /** Writes the attributes that are in `wanted`; the answer is the number of bytes. */
    fun write(wanted: Array<Asked>, attributes: Map<String, *>, unusable: Unusable): Int {
        var at = 0
        for (asked in wanted) {
            val value = attributes[asked.name] ?: continue
            var end = put(at, asked.index, value)
            if (end < 0) {
                end = at + 8
                need(end)
                head(at, asked.index, UNUSABLE)
                unusable.count(asked.name)
            }
            at = end
        }
        return at
    }

    /** Writes one value; the answer is where the next begins, or `NOT_USABLE` when no rule can use it. */
    private fun put(at: Int, index: Int, value: Any): Int = when (value) {
        is String -> putText(at, index, value)
        is Number -> putNumber(at, index, value.toDouble())
        is Boolean -> {
            need(at + 8)
            head(at, index, if (value) TRUE else FALSE)
            at + 8
        }
        else -> putOther(at, index, value)
    }

    private fun putOther(at: Int, index: Int, value: Any): Int = when (value) {
        is CharSequence -> putText(at, index, value.toString())
        is Collection<*> -> putList(at, index, value)
        // Kotlin's unsigned numbers are no Numbers.
        is UInt -> putNumber(at, index, value.toDouble())
        is ULong -> putNumber(at, index, value.toDouble())
        is UShort -> putNumber(at, index, value.toDouble())
        is UByte -> putNumber(at, index, value.toDouble())
        else -> {
            val list = listOfArray(value)
            if (list == null) NOT_USABLE else putList(at, index, list)
        }
    }

    private fun putNumber(at: Int, index: Int, value: Double): Int {
        if (value.isNaN() || value.isInfinite()) return NOT_USABLE
        need(at + 16)
        head(at, index, NUMBER)
        buffer.putDouble(at + 8, value)
        return at + 16
    }

    private fun putText(at: Int, index: Int, text: String): Int {
        val length = text.length
        if (length > MAX_TEXT_BYTES) return NOT_USABLE
        // A UTF-16 unit takes one to three bytes.
        need(at + 16 + length * 3)
        val start = at + 8
        val end = putUtf8(start, text)
        if (end < 0 || end - start > MAX_TEXT_BYTES) return NOT_USABLE
        head(at, index, end - start)
        return (end + 7) and 7.inv()
    }

    /** UTF-8, never Java's modified one; the answer is the end, or `NOT_USABLE` for a lone surrogate. */
    private fun putUtf8(start: Int, text: String): Int {
        val into = buffer
        val length = text.length
        var i = 0
        while (i < length) {
            val unit = text[i].code
            if (unit >= 0x80) return putUnicode(start, text, i)
            into.put(start + i, unit.toByte())
            i++
        }
        return start + length
    }

    private fun putUnicode(start: Int, text: String, ascii: Int): Int {
        val into = buffer
        val length = text.length
        var end = start + ascii
        var i = ascii
        while (i < length) {
            val unit = text[i++]
            val code = unit.code
            when {
                code < 0x80 -> into.put(end++, code.toByte())
                code < 0x800 -> {
                    into.put(end++, (0xc0 or (code shr 6)).toByte())
                    into.put(end++, (0x80 or (code and 0x3f)).toByte())
                }
                !Character.isSurrogate(unit) -> {
                    into.put(end++, (0xe0 or (code shr 12)).toByte())
                    into.put(end++, (0x80 or ((code shr 6) and 0x3f)).toByte())
                    into.put(end++, (0x80 or (code and 0x3f)).toByte())
                }
                unit.isLowSurrogate() || i == length || !text[i].isLowSurrogate() -> return NOT_USABLE
                else -> {
                    val point = Character.toCodePoint(unit, text[i++])
                    into.put(end++, (0xf0 or (point shr 18)).toByte())
                    into.put(end++, (0x80 or ((point shr 12) and 0x3f)).toByte())
                    into.put(end++, (0x80 or ((point shr 6) and 0x3f)).toByte())
                    into.put(end++, (0x80 or (point and 0x3f)).toByte())
                }
            }
        }
        return end
    }

    private fun putList(at: Int, index: Int, list: Collection<*>): Int {
        // Counted while it is read: one that another thread changes must not write a length that is not there.
        if (list.size > MAX_LIST_ELEMENTS) return NOT_USABLE
        need(at + 8)
        var next = at + 8
        var length = 0
        for (element in list) {
            // null and lists inside make the whole list unusable, like anything else that is.
            if (element == null || element is Collection<*> || element.javaClass.isArray || ++length > MAX_LIST_ELEMENTS) return NOT_USABLE
            next = put(next, 0, element)
            if (next < 0) return NOT_USABLE
        }
        head(at, index, LIST - length)
        return next
    }

    private fun head(at: Int, index: Int, kind: Int) {
        buffer.putInt(at, index)
        buffer.putInt(at + 4, kind)
    }

    private fun need(end: Int) {
        if (end > buffer.capacity()) grow(end)
    }

    private fun grow(end: Int) {
        require(end <= MAX_BYTES) { "the attributes of one decision take more than $MAX_BYTES bytes: pass fewer or shorter lists" }
        var capacity = buffer.capacity()
        while (capacity < end) capacity *= 2
        val grown = direct(capacity)
        grown.duplicate().put(buffer.duplicate())
        replace(grown)
    }

    private fun replace(other: ByteBuffer) {
        buffer = other
        address = Native.core.addressOf(other)
    }

    internal companion object {
        private const val INITIAL_BYTES = 2_048
        private const val MAX_BYTES = 1 shl 30

        /** One with more is given back: a thread that once saw long lists must not hold hundreds of megabytes. */
        private const val KEPT_BYTES = 262_144

        private val ofThread: ThreadLocal<Records> = object : ThreadLocal<Records>() {
            override fun initialValue() = Records()
        }

        private fun direct(capacity: Int): ByteBuffer = ByteBuffer.allocateDirect(capacity).order(ByteOrder.nativeOrder())

        /** This thread's, for as long as `use` runs. A map of the application that itself asks for a decision finds it busy, and gets another. */
        inline fun <R> borrow(use: (Records) -> R): R {
            val own = ofThread.get()!!
            if (own.busy) return use(Records())
            own.busy = true
            try {
                return use(own)
            } finally {
                own.busy = false
                if (own.buffer.capacity() > KEPT_BYTES) own.replace(direct(INITIAL_BYTES))
            }
        }
    }
}
