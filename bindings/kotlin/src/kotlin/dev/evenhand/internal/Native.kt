package dev.evenhand.internal

import dev.evenhand.generated.LibraryChecksum
import java.io.File
import java.io.IOException
import java.nio.file.FileAlreadyExistsException
import java.nio.file.Files
import java.nio.file.LinkOption.NOFOLLOW_LINKS
import java.nio.file.Path
import java.nio.file.Paths
import java.nio.file.StandardCopyOption.ATOMIC_MOVE
import java.nio.file.attribute.PosixFilePermissions

/** Finds the native library, and decides by which way it is called. */
internal object Native {
    const val LIBRARY: String = "evenhand_mobile"

    /** `jni` or `generated`; unset: JNI, and the generated way where JNI can't be loaded. */
    private const val WAY = "evenhand.native"

    /** The library's file, where it is not the one in the jar. */
    private const val PATH = "evenhand.library.path"

    /** Where uniffi's classes look for a library of another name. */
    const val OVERRIDE: String = "uniffi.component.evenhand_mobile.libraryOverride"

    /** Why JNI is not used; null when it is. */
    @Volatile
    var fallback: Throwable? = null
        private set

    /** @throws IllegalStateException when no way leads to the library. */
    @JvmStatic
    val core: Core get() = chosen ?: choose()

    @Volatile
    private var chosen: Core? = null

    @Synchronized
    private fun choose(): Core = chosen ?: way().also { chosen = it }

    private fun way(): Core {
        when (val way = System.getProperty(WAY)) {
            null, "", "jni", "generated" -> if (way == "generated") return generated()
            else -> throw IllegalStateException("the system property $WAY is `$way`: set it to `jni` or `generated`, or leave it unset")
        }
        try {
            load()
            return JniCore()
        } catch (error: Throwable) {
            if (System.getProperty(WAY) == "jni") throw IllegalStateException("the native library can't be loaded by JNI: ${said(error)}", error)
            fallback = error
            return generated()
        }
    }

    private fun generated(): Core = try {
        System.getProperty(PATH)?.let { path -> if (System.getProperty(OVERRIDE) == null) System.setProperty(OVERRIDE, path) }
        GeneratedCore()
    } catch (error: Throwable) {
        val jni = fallback?.let { "by JNI: ${said(it)}; by JNA: " } ?: "by JNA: "
        val remedy = "supported is what the jar holds a library for (here: ${platform()}); $PATH may name one of your own"
        throw IllegalStateException("the native library can't be loaded $jni${said(error)}. $remedy", fallback ?: error)
    }

    private fun load() {
        val path = System.getProperty(PATH)
        when {
            path != null -> System.load(File(path).absolutePath)
            // The package manager has unpacked it beside the application.
            System.getProperty("java.vm.name") == "Dalvik" -> System.loadLibrary(LIBRARY)
            else -> System.load(extracted().toAbsolutePath().toString())
        }
        Jni.nothing(0)
    }

    /** The platform, by the names that JNA has for the folders of a jar. */
    private fun platform(): String {
        val system = if (System.getProperty("os.name") == "Linux") "linux" else System.getProperty("os.name").orEmpty()
        val machine = when (val named = System.getProperty("os.arch").orEmpty()) {
            "amd64", "x86_64" -> "x86-64"
            "arm64" -> "aarch64"
            else -> named
        }
        return "$system-$machine"
    }

    /**
     * The library in a file: one for each content, below a folder of ours alone. Its name is the content's checksum, which the build
     * has written down: to compute it here would take longer than all the rest.
     */
    private fun extracted(): Path {
        val folder = platform()
        val checksum = LibraryChecksum.of(folder) ?: throw IOException("the jar has no library for $folder")
        val home = ownFolder("$checksum.so")
        val file = home.resolve("$checksum.so")
        if (Files.exists(file)) return file
        val fresh = Files.createTempFile(home, "new", ".so")
        try {
            val resource = "/$folder/lib$LIBRARY.so"
            val source = javaClass.getResourceAsStream(resource) ?: throw IOException("the jar has no $resource")
            source.use { from -> Files.newOutputStream(fresh).use { into -> from.copyTo(into) } }
            // At once or not at all: whoever comes meanwhile sees a whole file, or none.
            Files.move(fresh, file, ATOMIC_MOVE)
        } finally {
            Files.deleteIfExists(fresh)
        }
        return file
    }

    /** A folder that only this user can write: what lies in it is loaded and run. */
    private fun ownFolder(file: String): Path {
        val temporary = Paths.get(System.getProperty("java.io.tmpdir"))
        val user = Files.getAttribute(Paths.get("/proc/self"), "unix:uid") as Int
        val folder = temporary.resolve("evenhand-$user")
        if (!Files.exists(folder, NOFOLLOW_LINKS)) {
            try {
                Files.createDirectory(folder, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")))
            } catch (_: FileAlreadyExistsException) {
                // Somebody was quicker; whoever it was, the next question is the same.
            }
        }
        val found = Files.readAttributes(folder, "unix:mode,uid", NOFOLLOW_LINKS)
        if (found["mode"] == OWN_FOLDER && found["uid"] == user) return folder
        // Somebody else's, or open to others: a folder for this process alone.
        val own = Files.createTempDirectory(temporary, "evenhand-")
        // Removed in the opposite order.
        own.toFile().deleteOnExit()
        own.resolve(file).toFile().deleteOnExit()
        return own
    }

    /** A folder, and 0700. */
    private const val OWN_FOLDER = 0x41c0
}
