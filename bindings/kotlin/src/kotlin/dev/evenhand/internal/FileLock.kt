package dev.evenhand.internal

import java.io.File
import java.io.IOException
import java.nio.channels.FileChannel
import java.nio.file.StandardOpenOption.CREATE
import java.nio.file.StandardOpenOption.WRITE
import java.util.concurrent.ConcurrentHashMap
import java.nio.channels.FileLock as SystemLock

/** A lock on a file that the system takes back when its holder dies: what processes, and clients of one process, share a spool by. */
internal class FileLock private constructor(private val path: String, private val channel: FileChannel, private val lock: SystemLock) {
    fun release() {
        try {
            lock.release()
            channel.close()
        } finally {
            held.remove(path)
        }
    }

    internal companion object {
        /**
         * The paths of this process. Asked before a file is opened: on Linux the system's lock is the process's, and closing any
         * channel of the file gives it up.
         */
        private val held: MutableSet<String> = ConcurrentHashMap.newKeySet()

        /**
         * Takes the lock, creating the file; null when somebody living has it. Never waits.
         * @throws IOException when the file can't be opened.
         */
        fun take(file: File): FileLock? {
            val path = file.canonicalPath
            if (!held.add(path)) return null
            var channel: FileChannel? = null
            try {
                channel = FileChannel.open(file.toPath(), setOf(CREATE, WRITE), *ownerOnly(file))
                channel.tryLock()?.let { return FileLock(path, channel, it) }
            } catch (error: Throwable) {
                giveUp(path, channel)
                throw error
            }
            giveUp(path, channel)
            return null
        }

        private fun giveUp(path: String, channel: FileChannel?) {
            try {
                channel?.close()
            } finally {
                held.remove(path)
            }
        }
    }
}
