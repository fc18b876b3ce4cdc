// From the first touch of the package to the first decision by a manifest at hand, in this fresh JVM: nanoseconds.   ColdKt client|engine MANIFEST FLAG
import dev.evenhand.Client
import dev.evenhand.ClientOptions
import dev.evenhand.Engine
import java.io.File

fun main(arguments: Array<String>) {
    val (what, manifest, flag) = arguments
    val bytes = File(manifest).readBytes()
    val user = mapOf("id" to "u-1", "country" to "NZ", "device" to "mobile", "app_version" to "3.1.0")
    val began = System.nanoTime()
    val decision = if (what == "client") {
        Client(ClientOptions("http://127.0.0.1:9", "k").apply { bootstrap = bytes }).decide(flag, user)
    } else {
        Engine(bytes).evaluate(flag, user)
    }
    val reason = decision.reason
    val took = System.nanoTime() - began
    check(reason.name in setOf("SPLIT", "DEFAULT")) { reason }
    println(took)
    // Nothing is to be sent: not held up by the end.
    Runtime.getRuntime().halt(0)
}
