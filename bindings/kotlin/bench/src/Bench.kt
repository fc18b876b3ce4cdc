// What a decision costs among 200 experiments, beside a call into the library that does nothing: CPU time of this thread over many
// short blocks, in a warm JVM.   BenchKt DATA OUT      DATA holds evenhand_200.json and users.json (benches/workload.py)
import com.fasterxml.jackson.databind.ObjectMapper
import dev.evenhand.Client
import dev.evenhand.Context
import dev.evenhand.Engine
import dev.evenhand.EvaluateOptions
import dev.evenhand.Logger
import java.io.File
import java.lang.management.ManagementFactory

private const val ROUNDS = 150
private const val WARM = 100

private class Row(val what: String, val calls: Int, val bar: Int?, val call: (Int) -> Long) {
    val times = ArrayList<Double>()
}

fun main(arguments: Array<String>) {
    val (data, out) = arguments.map(::File)
    val json = ObjectMapper()
    val bytes = File(data, "evenhand_200.json").readBytes()
    val flags = json.readTree(bytes)["flags"].fieldNames().asSequence().toList()
    val users: List<Map<String, Any?>> = json.readTree(File(data, "users.json")).take(1_000).map { user ->
        user.properties().associate { (name, value) -> name to if (value.isTextual) value.textValue() else value.longValue() }
    }
    val contexts = users.map { Context(it) }
    val engine = Engine(bytes)
    val client = Client("http://127.0.0.1:9", "k") {
        logger = Logger.SILENT
        stream = false
        bootstrap = bytes
    }
    val now = EvaluateOptions(System.currentTimeMillis())
    fun flag(i: Int) = flags[(i % 200) * 113 % 200]
    fun user(i: Int) = users[(i % 1_000) * 919 % 1_000]
    fun context(i: Int) = contexts[(i % 1_000) * 919 % 1_000]
    val rows = listOf(
        Row("a call that does nothing", 2_000, null) { Nothing.call(it.toLong()) },
        Row("evaluate, Context kept", 2_000, 500) { engine.evaluate(flag(it), context(it)).packed },
        Row("evaluate, map passed in", 2_000, 2_000) { engine.evaluate(flag(it), user(it)).packed },
        Row("evaluate, Context kept, now given", 2_000, null) { engine.evaluate(flag(it), context(it), now).packed },
        Row("decide, map, exposure known", 2_000, null) { client.decide(flags[it % 20], users[it % 100]).packed },
        Row("stringValue, Context kept, exposure known", 2_000, null) { client.stringValue(flags[it % 20], contexts[it % 100], "").length.toLong() },
        Row("evaluateAll of 200, Context kept", 20, null) { engine.evaluateAll(contexts[it % 1_000]).size.toLong() },
        Row("evaluateAll of 200, map", 20, null) { engine.evaluateAll(users[it % 1_000]).size.toLong() },
    )
    val clock = ManagementFactory.getThreadMXBean()
    var sum = 0L
    // In turn, so that a noisy moment does not hit one alone; the first rounds warm up.
    for (round in 0 until ROUNDS + WARM) {
        for (row in rows) {
            val from = round * row.calls
            val began = clock.currentThreadCpuTime
            for (i in from until from + row.calls) sum += row.call(i)
            val took = clock.currentThreadCpuTime - began
            if (round >= WARM) row.times.add(took.toDouble() / row.calls)
        }
    }
    client.close(1)
    check(sum != 0L)
    json.writeValue(out, rows.map { row ->
        val times = row.times.sorted()
        mapOf("what" to row.what, "fastest_ns" to times.first(), "median_ns" to times[times.size / 2], "bar_ns" to row.bar)
    })
}
