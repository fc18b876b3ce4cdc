package dev.evenhand.internal

import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.security.SecureRandom
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicLong

/** Keeps a session in a file: taken back at the start, written a quarter of a second after a change and at the end. */
internal class Spooling(private val session: CoreSession, private val log: Log) {
    @Volatile
    private var file: SpoolFile? = null
    private var mark = ""

    /** When it is to be written, on `System.nanoTime`; `IDLE` when nothing has changed. */
    private val due = AtomicLong(IDLE)

    fun begin(path: File): Unit = guarded {
        val spool = SpoolFile(path)
        file = spool
        spool.found { content ->
            session.restore(content, entropy(), System.currentTimeMillis())
            spool.write(session.spool())
        }
    }

    /** Something may have changed; whether the loop must be told that there is something to do. */
    fun soon(): Boolean {
        if (file == null || due.get() != IDLE) return false
        return due.compareAndSet(IDLE, notIdle(System.nanoTime() + INTERVAL_NANOS))
    }

    /** Writes what is due; when it is to be called again, or `Loop.NEVER`. */
    fun writeIfDue(): Long {
        val at = due.get()
        if (at == IDLE) return Loop.NEVER
        if (System.nanoTime() - at < 0) return at
        due.set(IDLE)
        guarded {
            val spool = file ?: return@guarded
            val now = session.spoolMark(System.currentTimeMillis())
            if (now == mark) return@guarded
            spool.write(session.spool())
            mark = now
        }
        return Loop.NEVER
    }

    /** Writes it a last time and gives it up. */
    fun end(isEmpty: () -> Boolean) {
        val spool = file ?: return
        file = null
        guarded { spool.write(session.spool()) }
        guarded { spool.close(isEmpty()) }
    }

    private inline fun guarded(work: () -> Unit) {
        try {
            work()
        } catch (error: Throwable) {
            log.error("spool_failed", "the spool can't be used: ${said(error)}", error)
        }
    }

    private companion object {
        const val IDLE = 0L
        val INTERVAL_NANOS = TimeUnit.MILLISECONDS.toNanos(250)

        fun notIdle(nanos: Long) = if (nanos == IDLE) 1L else nanos
    }
}

/**
 * 16 fresh bytes of the system's randomness: straight from the system, because Java's way to it takes longer than all the rest before
 * the first decision.
 */
internal fun entropy(): ByteArray {
    val bytes = ByteArray(16)
    try {
        FileInputStream("/dev/urandom").use { source ->
            var filled = 0
            while (filled < bytes.size) {
                val read = source.read(bytes, filled, bytes.size - filled)
                if (read < 0) throw IOException("it ends")
                filled += read
            }
        }
    } catch (_: IOException) {
        SecureRandom().nextBytes(bytes)
    }
    return bytes
}
