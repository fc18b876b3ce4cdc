package dev.evenhand.internal

import java.io.File
import java.io.RandomAccessFile
import java.nio.channels.FileChannel
import java.nio.file.Files
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.StandardCopyOption.REPLACE_EXISTING
import java.nio.file.StandardOpenOption.CREATE
import java.nio.file.StandardOpenOption.TRUNCATE_EXISTING
import java.nio.file.StandardOpenOption.WRITE
import java.nio.file.attribute.FileAttribute
import java.nio.file.attribute.PosixFilePermissions

/** Mode 0600 for a new file, where the file system has modes. */
internal fun ownerOnly(file: File): Array<FileAttribute<*>> =
    if ("posix" in file.toPath().fileSystem.supportedFileAttributeViews()) {
        arrayOf(PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))
    } else {
        emptyArray()
    }

/** Replaces a file as a whole, by way of another beside it: a process killed meanwhile leaves the old one. */
internal fun replace(file: File, by: File, content: ByteArray) {
    FileChannel.open(by.toPath(), setOf(CREATE, WRITE, TRUNCATE_EXISTING), *ownerOnly(by)).use { channel ->
        val bytes = java.nio.ByteBuffer.wrap(content)
        while (bytes.hasRemaining()) channel.write(bytes)
    }
    Files.move(by.toPath(), file.toPath(), ATOMIC_MOVE, REPLACE_EXISTING)
}

/** Creates a file of mode 0600, where there is none. */
internal fun create(file: File) {
    FileChannel.open(file.toPath(), setOf(CREATE, WRITE), *ownerOnly(file)).close()
}

/** Bytes of a file from `from` to its end. */
internal fun tail(file: RandomAccessFile, from: Long): ByteArray {
    val bytes = ByteArray(Math.toIntExact(file.length() - from))
    file.seek(from)
    file.readFully(bytes)
    return bytes
}
