package dev.evenhand.internal

import dev.evenhand.FlagType
import dev.evenhand.generated.EngineSettings
import dev.evenhand.generated.FfiConverter
import dev.evenhand.generated.FfiConverterTypeNativeError
import dev.evenhand.generated.SessionSettings
import java.nio.Buffer
import java.nio.BufferOverflowException
import java.nio.ByteBuffer

/**
 * The arguments of a cold call, one behind the other, in uniffi's form: big endian, a length before text, lists and bytes, a byte
 * before what may be missing. Written by the generated converters, or by hand where every start does (see Facts.kt).
 */
internal class Arguments {
    private var buffer = ByteBuffer.allocate(256)

    fun <T> put(converter: FfiConverter<T, *>, value: T): Arguments {
        while (true) {
            val begin = buffer.position()
            try {
                converter.write(value, buffer)
                return this
            } catch (_: BufferOverflowException) {
                // Asking the converter for the size loads far more classes than this costs, and few values are so large.
                move(buffer, begin)
                room(buffer.remaining() + 1L)
            }
        }
    }

    /** Ill-formed text is for the caller to refuse; here it would become another. */
    fun put(text: String): Arguments = put(text.toByteArray())

    fun put(flag: Boolean): Arguments {
        room(1).put(if (flag) 1 else 0)
        return this
    }

    private fun put(text: String?, present: Boolean): Arguments {
        put(present)
        return if (text == null) this else put(text)
    }

    fun put(settings: EngineSettings): Arguments {
        put(settings.keys.size)
        for ((id, key) in settings.keys) put(id).put(key)
        return put(settings.environment, settings.environment != null).put(settings.audience, settings.audience != null)
    }

    fun put(settings: SessionSettings): Arguments {
        put(settings.engine).put(settings.sdk).put(settings.fetch).put(settings.stream).put(settings.numbers.size)
        for ((name, number) in settings.numbers) put(name).put(number.toLong())
        return this
    }

    fun put(number: Long): Arguments {
        room(Long.SIZE_BYTES.toLong()).putLong(number)
        return this
    }

    fun put(number: Int): Arguments {
        room(Int.SIZE_BYTES.toLong()).putInt(number)
        return this
    }

    fun put(number: Short): Arguments {
        room(Short.SIZE_BYTES.toLong()).putShort(number)
        return this
    }

    /** Bytes with their number before them. */
    fun put(bytes: ByteArray): Arguments {
        room(Int.SIZE_BYTES.toLong() + bytes.size).putInt(bytes.size).put(bytes)
        return this
    }

    fun put(records: Records, length: Int): Arguments {
        room(Int.SIZE_BYTES.toLong() + length).putInt(length)
        records.copyTo(buffer, length)
        return this
    }

    private fun room(bytes: Long): ByteBuffer {
        if (bytes > buffer.remaining()) {
            val wanted = buffer.position() + bytes
            require(wanted <= Int.MAX_VALUE) { "a call into the library takes at most 2 GB" }
            val grown = ByteBuffer.allocate(maxOf(wanted.toInt(), minOf(buffer.capacity() * 2L, Int.MAX_VALUE.toLong()).toInt()))
            cut(buffer, buffer.position())
            move(buffer, 0)
            buffer = grown.put(buffer)
        }
        return buffer
    }

    fun bytes(): ByteArray = java.util.Arrays.copyOf(buffer.array(), buffer.position())

    internal companion object {
        @JvmField
        val NONE = ByteArray(0)
    }
}

// By Buffer's own methods: Android has those of ByteBuffer, which return one, only since API 29.

internal fun move(buffer: Buffer, position: Int) {
    buffer.position(position)
}

internal fun cut(buffer: Buffer, limit: Int) {
    buffer.limit(limit)
}

/** The answer of a cold call, behind its first byte; what that one says is thrown. */
internal fun opened(answer: ByteArray): ByteBuffer {
    val buffer = ByteBuffer.wrap(answer)
    if (buffer.get() != 0.toByte()) throw FfiConverterTypeNativeError.read(buffer)
    return buffer
}

private fun ByteBuffer.text(): String {
    val bytes = ByteArray(int)
    get(bytes)
    return String(bytes, Charsets.UTF_8)
}

private fun ByteBuffer.isThere(): Boolean = get() != 0.toByte()

private fun ByteBuffer.textIfThere(): String? = if (isThere()) text() else null

private fun ByteBuffer.numberIfThere(): Long? = if (isThere()) int.toLong() and 0xffff_ffffL else null

private val TYPES = FlagType.values()

/** `ValueType`, which counts from 1 in the same order. */
private fun ByteBuffer.type(): FlagType? = if (isThere()) TYPES[int - 1] else null

internal fun texts(buffer: ByteBuffer): List<String> {
    val found = ArrayList<String>()
    repeat(buffer.int) { found.add(buffer.text()) }
    return found
}

/** `SnapshotInfo` */
internal fun snapshotFacts(buffer: ByteBuffer): SnapshotFacts {
    val environment = buffer.text()
    val generation = buffer.long
    val version = buffer.long
    // When it was published: the session tells that.
    buffer.long
    val attributes = Array(buffer.int) { buffer.text() }
    val count = buffer.int
    val types = arrayOfNulls<FlagType>(count)
    val keys = Array(count) { at -> buffer.text().also { types[at] = buffer.type() } }
    return SnapshotFacts(environment, generation, version, attributes, keys, types)
}

/** `FlagTablesRow` */
internal fun flagFacts(buffer: ByteBuffer): FlagFacts {
    val type = buffer.type()
    val variations = Array(buffer.int) { VariationTable(buffer.text(), buffer.text()) }
    val rules = Array(buffer.int) {
        val id = buffer.text()
        val experiment = buffer.textIfThere()
        val phase = buffer.numberIfThere()
        val epoch = buffer.numberIfThere()
        RuleTable(id, experiment, phase, epoch, Array(buffer.int) { HoldoutUnit(buffer.text(), buffer.text()) })
    }
    return FlagFacts(type, variations, rules, IntArray(buffer.int) { buffer.int })
}
