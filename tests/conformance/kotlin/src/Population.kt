// 200,000 units through the flags of one manifest, as one checksum.
import com.fasterxml.jackson.databind.JsonNode
import dev.evenhand.Context
import dev.evenhand.Decision
import dev.evenhand.Engine
import dev.evenhand.EvaluateOptions
import java.security.MessageDigest

private fun unit(i: Int): Any = when (i % 5) {
    0 -> "user-$i"
    1 -> i
    2 -> "%08x@example.com".format(i)
    3 -> "\u00fc$i"
    else -> -i
}

private fun hex(sum: MessageDigest): String = (sum.clone() as MessageDigest).digest().joinToString("") { "%02x".format(it) }

fun population(document: JsonNode): List<Map<String, Any?>> = document["cases"].map { case ->
    val engine = Engine(case["manifest"].textValue())
    val options = EvaluateOptions(case["now_ms"].longValue())
    val flags = case["flags"].map { it.textValue() }
    val checkpoints = case["checkpoints"].fieldNames().asSequence().toSet()
    val counts = flags.associateWith { HashMap<String, Int>() }
    val found = HashMap<String, String>()
    val sum = MessageDigest.getInstance("SHA-256")
    for (i in 0 until case["units"].intValue()) {
        val unit = unit(i)
        val attributes = mapOf("user_id" to unit)
        val kept = if (i % 2 == 0) null else Context(attributes)
        for (flag in flags) {
            val decision: Decision = if (kept == null) engine.evaluate(flag, attributes, options) else engine.evaluate(flag, kept, options)
            val text = "$unit\t$flag\t${decision.variation}\t${decision.reason}\t${decision.bucket ?: ""}\n"
            sum.update(text.toByteArray())
            counts.getValue(flag).merge("${decision.variation}/${decision.reason}", 1, Int::plus)
        }
        (i + 1).toString().let { if (it in checkpoints) found[it] = hex(sum) }
    }
    mapOf("case" to case["name"].textValue(), "checkpoints" to found, "counts" to counts, "sha256" to hex(sum))
}
