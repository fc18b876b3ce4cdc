// How the library is found and loaded: which way is taken, where one is missing, and what is said.   LoadingKt FIGURES
import java.io.File
import java.nio.file.Files
import java.nio.file.Paths
import java.nio.file.attribute.PosixFilePermissions

private fun way(vararg options: String, path: String = System.getProperty("java.class.path"), task: String = "way"): String {
    val process = child(task, "", "", path = path, options = options.toList())
    return process.inputStream.bufferedReader().readText().trim().also { process.waitFor() }
}

fun main(arguments: Array<String>) {
    val proofs = Proofs()
    val path = System.getProperty("java.class.path")
    val withoutJna = path.split(File.pathSeparator).filter { !File(it).name.startsWith("jna-") }.joinToString(File.pathSeparator)
    check(withoutJna != path, "JNA is on the class path", path)
    val scratch = Files.createTempDirectory("evenhand-loading-").toFile()

    proofs.add("JNI is the way, with nothing to unpack and with everything") {
        val fresh = File(scratch, "fresh").apply { mkdir() }
        check(way("-Djava.io.tmpdir=$fresh") == "jni SPLIT", "unpacked", "")
        val folder = fresh.listFiles()!!.single()
        check(PosixFilePermissions.toString(Files.getPosixFilePermissions(folder.toPath())) == "rwx------", "for its user alone", folder)
        check(folder.list()!!.single().matches(Regex("[0-9a-f]{64}\\.so")), "one file, named by its content", folder.list()?.toList())
        check(way("-Djava.io.tmpdir=$fresh") == "jni SPLIT", "found", "")
        check(folder.list()!!.size == 1, "nothing else is left", folder.list()?.toList())
    }

    proofs.add("a folder that others can write is not trusted") {
        val shared = File(scratch, "shared").apply { mkdir() }
        val folder = File(shared, "evenhand-${Files.getAttribute(Paths.get("/proc/self"), "unix:uid")}").apply { mkdir() }
        Files.setPosixFilePermissions(folder.toPath(), PosixFilePermissions.fromString("rwxrwxrwx"))
        check(way("-Djava.io.tmpdir=$shared") == "jni SPLIT", "it is unpacked elsewhere", "")
        check(folder.list()!!.isEmpty(), "and not in there", folder.list()?.toList())
        check(shared.list()!!.toList() == listOf(folder.name), "what was unpacked is gone", shared.list()?.toList())
    }

    proofs.add("without JNA on the class path everything works by JNI") {
        check(way(path = withoutJna) == "jni SPLIT", "it decides", "")
    }

    proofs.add("where JNI can't be loaded, the generated classes take its place") {
        check(way("-Djava.io.tmpdir=/proc/nowhere") == "generated SPLIT", "nothing can be unpacked", "")
        check(way(task = "loaders") == "jni SPLIT\ngenerated SPLIT", "a second class loader", "")
    }

    proofs.add("a library of one's own is taken by both ways") {
        val own = File(scratch, "own.so")
        object {}.javaClass.getResourceAsStream("/linux-x86-64/libevenhand_mobile.so")!!.use { from -> own.outputStream().use { from.copyTo(it) } }
        for (chosen in listOf("jni", "generated")) {
            check(way("-Devenhand.library.path=$own", "-Devenhand.native=$chosen") == "$chosen SPLIT", chosen, "")
        }
    }

    proofs.add("where no way leads to it, it is said what and where") {
        for (chosen in listOf("jni", "generated")) {
            val process = ProcessBuilder("${System.getProperty("java.home")}/bin/java", "-Devenhand.native=$chosen", "-Devenhand.library.path=/nowhere.so", "-cp", path, "ChildKt", "way", "", "")
                .redirectErrorStream(true).start()
            val said = process.inputStream.bufferedReader().readText()
            check(process.waitFor() != 0 && "the native library can't be loaded by ${if (chosen == "jni") "JNI" else "JNA"}" in said && "/nowhere.so" in said, "it is said", said)
        }
        val odd = ProcessBuilder("${System.getProperty("java.home")}/bin/java", "-Devenhand.native=other", "-cp", path, "ChildKt", "way", "", "").redirectErrorStream(true).start()
        check("set it to `jni` or `generated`" in odd.inputStream.bufferedReader().readText(), "an odd way is refused", "")
    }

    proofs.run()
    scratch.deleteRecursively()
    File(arguments[0]).writeText(JSON.writeValueAsString(proofs.details))
}
