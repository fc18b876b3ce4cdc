package dev.evenhand.internal

import dev.evenhand.generated.FfiConverter
import dev.evenhand.generated.FfiConverterTypeNativeError
import java.nio.BufferOverflowException
import java.nio.ByteBuffer

/** The arguments of a cold call, one behind the other, as uniffi's generated converters write them (big endian). */
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
                buffer.position(begin)
                room(buffer.remaining() + 1L)
            }
        }
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
            buffer.flip()
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

/** The answer of a cold call, behind its first byte; what that one says is thrown. */
internal fun opened(answer: ByteArray): ByteBuffer {
    val buffer = ByteBuffer.wrap(answer)
    if (buffer.get() != 0.toByte()) throw FfiConverterTypeNativeError.read(buffer)
    return buffer
}
