package dev.evenhand.internal

import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.security.SecureRandom

/**
 * The file that keeps the last good manifest and undelivered events for the next start.
 *
 * Processes, and clients of one process, may share one path: the first to come has the file itself, each further one a file beside
 * it, and whoever starts later takes over the files that nobody living holds.
 *
 * @throws IOException when the folder can't be written.
 */
internal class SpoolFile(private val base: File) {
    private val own: File
    private val lock: FileLock

    init {
        var file = base
        var taken = FileLock.take(lockOf(file))
        if (taken == null) {
            file = beside()
            taken = FileLock.take(lockOf(file))
        }
        own = file
        lock = taken ?: throw IOException("${lockOf(file)} is locked by another process")
    }

    private fun beside(): File {
        val digits = ByteArray(4).also(SecureRandom()::nextBytes).joinToString("") { "%02x".format(it) }
        return File("$base.${processId()}-$digits")
    }

    /** Hands on the spools of clients that have ended. One is removed when it was handed on: `take` writes our own first. */
    fun found(take: (ByteArray) -> Unit) {
        for (file in listOf(base) + others()) {
            val lock = if (file == own) null else FileLock.take(lockOf(file)) ?: continue
            try {
                read(file)?.let(take)
                if (lock == null) continue
                file.delete()
                if (file != base) lockOf(file).delete()
            } finally {
                lock?.release()
            }
        }
    }

    private fun others(): List<File> {
        val folder = base.absoluteFile.parentFile
        val begin = "${base.name}."
        val names = folder.list() ?: throw IOException("$folder can't be read")
        return names.filter { it.startsWith(begin) && BESIDE.matches(it.substring(begin.length)) }.sorted()
            // As paths like the base: they are compared with our own.
            .map { File("$base.${it.substring(begin.length)}") }
    }

    private var given = false

    /** Replaces the file as a whole. */
    @Synchronized
    fun write(content: ByteArray) {
        // Behind the end it is another's.
        if (!given) replace(own, File("$own.new"), content)
    }

    /** Gives it up; without events, a file beside the path goes. */
    @Synchronized
    fun close(empty: Boolean) {
        given = true
        if (own != base) {
            if (empty) own.delete()
            lockOf(own).delete()
        }
        lock.release()
    }

    private companion object {
        val BESIDE = Regex("\\d+-[0-9a-f]{8}")

        fun lockOf(file: File) = File("$file.lock")

        fun read(file: File): ByteArray? = try {
            file.readBytes()
        } catch (error: FileNotFoundException) {
            if (file.exists()) throw error else null
        }

        /** Only a name: Android has no `ProcessHandle`. */
        fun processId(): String = File("/proc/self").canonicalFile.name.takeIf { name -> name.all(Char::isDigit) } ?: "0"
    }
}
