// A process of its own with a client, for what happens when processes end:   ChildKt TASK URL KEY [SPOOL]
import dev.evenhand.Client
import dev.evenhand.Engine
import java.io.File

fun main(arguments: Array<String>) {
    val (task, url, key) = arguments
    when (task) {
        // Decides, and waits to be killed.
        "spool" -> {
            val client = Client(url, key) {
                spool = File(arguments[3])
                flushIntervalMs = 3_600_000
            }
            client.awaitReady()
            repeat(60) { client.decide("checkout", mapOf("user_id" to "${File(arguments[3]).name}-$it")) }
            Thread.sleep(700)
            println("written")
            Thread.sleep(60_000)
        }
        // Decides, and simply ends.
        "end" -> {
            val client = Client(url, key) { flushIntervalMs = 3_600_000 }
            client.awaitReady()
            repeat(20) { client.decide("checkout", mapOf("user_id" to "exit-$it")) }
        }
        // Decides, and waits to be asked to end.
        "term" -> {
            val client = Client(url, key) { flushIntervalMs = 3_600_000 }
            client.awaitReady()
            repeat(20) { client.decide("checkout", mapOf("user_id" to "term-$it")) }
            println("ready")
            Thread.sleep(60_000)
        }
        // Says by which way the library is reached, and that it decides.
        "way" -> {
            val reason = Engine(manifest(1)).evaluate("flag-0", mapOf("user_id" to "u")).reason
            val core = Class.forName("dev.evenhand.internal.Native").run { getMethod("getCore").invoke(null) }
            println("${Class.forName("dev.evenhand.internal.Core").getMethod("getName").invoke(core)} $reason")
        }
        // A class loader of its own finds the library taken by the first one.
        "loaders" -> {
            val path = System.getProperty("java.class.path").split(File.pathSeparator).map { File(it).toURI().toURL() }.toTypedArray()
            repeat(2) {
                val loader = java.net.URLClassLoader(path, ClassLoader.getPlatformClassLoader())
                Thread.currentThread().contextClassLoader = loader
                loader.loadClass("ChildKt").getMethod("main", Array<String>::class.java).invoke(null, arrayOf("way", "", ""))
            }
        }
        else -> error("no task $task")
    }
}
