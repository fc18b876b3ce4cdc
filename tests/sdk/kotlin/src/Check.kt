// Checks that say what was expected.
import kotlin.system.exitProcess

fun check(holds: Boolean, what: String, found: Any?) {
    if (!holds) throw AssertionError("$what; found: $found")
}

/** Asks until it holds; the answer and the milliseconds it took. */
fun <T> eventually(what: String, ask: () -> T, holds: (T) -> Boolean): Pair<T, Long> {
    val began = System.nanoTime()
    while (true) {
        val found = ask()
        val took = (System.nanoTime() - began) / 1_000_000
        if (holds(found)) return found to took
        check(took < 10_000, "$what, for 10 s", found)
        Thread.sleep(10)
    }
}

class Proofs {
    private val all = ArrayList<Pair<String, () -> Any?>>()
    val details = LinkedHashMap<String, Any>()

    /** `prove` may give a figure to show. */
    fun add(name: String, prove: () -> Any?) {
        all.add(name to prove)
    }

    fun run(failed: () -> Unit = {}) {
        for ((name, prove) in all) {
            val detail = try {
                prove()
            } catch (error: Throwable) {
                System.err.println("$name: FAILED")
                error.printStackTrace()
                failed()
                exitProcess(1)
            }
            val shown = detail as? String
            if (shown != null) details[name] = shown
            println("  $name${shown?.let { " ($it)" } ?: ""}")
        }
    }
}
