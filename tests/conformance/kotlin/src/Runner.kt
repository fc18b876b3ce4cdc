// Every case of tests/vectors through the public API of the installed package dev.evenhand:evenhand: what came out, as
// tests/conformance/README.md describes it. Never looks at an expected value.
//
//   RunnerKt VECTORS_DIR OUT.ndjson LOADED       LOADED: where to say which jar and which libraries were loaded
import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.ObjectMapper
import dev.evenhand.Context
import dev.evenhand.Decision
import dev.evenhand.Engine
import dev.evenhand.EvaluateOptions
import dev.evenhand.FlagType
import dev.evenhand.ManifestException
import dev.evenhand.OverrideResult
import dev.evenhand.StickyRecord
import dev.evenhand.bucket
import dev.evenhand.verifyOverride
import java.io.File
import java.util.Base64

private class Lines(private val file: String) {
    private val written = ArrayList<String>()
    private var cases = 0

    fun group(result: Map<String, Any?>) {
        written.add(line(result + ("file" to file)))
    }

    fun case(result: Map<String, Any?>) {
        cases++
        group(result)
    }

    fun text(): String = (listOf(line(mapOf("cases" to cases, "file" to file))) + written).joinToString("\n", postfix = "\n")
}

private fun decision(found: Decision): Map<String, Any?> = mapOf(
    "bucket" to found.bucket,
    "epoch" to found.epoch,
    "experiment" to found.experiment,
    "exposure" to found.exposure,
    "flag" to found.flag,
    "holdout_exposures" to found.holdoutExposures.map { mapOf("holdout" to it.holdout, "arm" to it.arm.id, "unit" to it.unit) },
    "manifest_version" to found.manifestVersion,
    "packed" to found.packed,
    "phase" to found.phase,
    "reason" to found.reason.name,
    "rule" to found.rule,
    "value" to if (found.variation == null) null else canonical(found.value),
    "variation" to found.variation,
)

/** Four ways lead to a decision: a map or a context kept, one flag or all of them. They must agree. */
private fun decide(engine: Engine, case: JsonNode): Map<String, Any?> {
    val flag = case["flag"].textValue()
    val now = case["now_ms"].longValue()
    val type = case["type"]?.let { FlagType.valueOf(it.textValue().uppercase()) }
    val sticky = case["sticky"]?.map {
        StickyRecord(it["experiment"].textValue(), it["phase"].longValue(), it["unit"].textValue(), it["variation"].textValue())
    }
    val forced = case["forced"]?.properties()?.associate { (key, variation) -> key to variation.textValue() }
    val attributes = case["context"].properties().associate { (name, value) -> name to handedIn(value) }
    val options = EvaluateOptions(now, type, sticky, forced)
    val plain = decision(engine.evaluate(flag, attributes, options))
    val kept = Context(attributes, sticky.orEmpty(), forced.orEmpty())
    val ways = arrayListOf(decision(engine.evaluate(flag, kept, EvaluateOptions(now, type))))
    if (type == null && plain["reason"] != "FLAG_UNKNOWN") {
        // In an obfuscated manifest the keys are hashes, and one asked for by its hash is unknown.
        engine.evaluateAll(attributes, options)[flag]?.let { ways.add(decision(it)) }
        engine.evaluateAll(kept, EvaluateOptions(now))[flag]?.let { ways.add(decision(it)) }
    }
    for (way in ways) check(way == plain) { "two ways, two decisions for $flag: $plain and $way" }
    return plain
}

private fun hash(document: JsonNode, lines: Lines) {
    for (case in document["cases"]) {
        val found = bucket(case["salt"].textValue(), handedIn(case["unit"])!!)
        lines.case(mapOf("basis_point" to found.basisPoint, "case" to case["name"].textValue(), "h" to found.h, "slot" to found.slot))
    }
}

private fun taken(put: () -> Unit): Boolean = try {
    put()
    true
} catch (_: ManifestException) {
    false
}

private fun decisions(document: JsonNode, lines: Lines) {
    for (group in document["groups"]) {
        val name = group["name"].textValue()
        val engine = Engine()
        group["lists"]?.forEach { blob -> taken { engine.addList(Base64.getDecoder().decode(blob.textValue())) } }
        val taken = taken { engine.updateManifest(group["manifest"].textValue()) }
        val unsupported = if (taken) engine.faults().mapNotNull { it.flag }.distinct().sortedWith(::compareBytes) else emptyList()
        lines.group(mapOf("group" to name, "manifest" to if (taken) "taken" else "refused", "unsupported" to unsupported))
        for (case in group["cases"]) {
            lines.case(mapOf("case" to case["name"].textValue(), "decision" to decide(engine, case), "group" to name))
        }
    }
}

private fun envelope(document: JsonNode, lines: Lines) {
    for (case in document["cases"]) {
        val engine = Engine(null, case["keys"].properties().associate { (id, key) -> id to key.textValue() })
        val told = case["deliveries"].map {
            val accepted = taken { engine.updateManifest(it["text"].textValue().toByteArray()) }
            mapOf("accepted" to accepted, "generation" to engine.manifest?.generation, "version" to engine.manifest?.version)
        }
        lines.case(mapOf("case" to case["name"].textValue(), "deliveries" to told))
    }
}

private fun tokens(document: JsonNode, lines: Lines) {
    for (case in document["cases"]) {
        val keys = case["keys"].map { it.textValue() }
        val found = verifyOverride(case["token"].textValue(), keys, case["environment"].textValue(), case["now_ms"].longValue())
        val valid = found as? OverrideResult.Valid
        lines.case(mapOf("case" to case["name"].textValue(), "flag" to valid?.flag, "valid" to (valid != null), "variation" to valid?.variation))
    }
}

fun main(arguments: Array<String>) {
    require(arguments.size == 3) { "usage: RunnerKt VECTORS_DIR OUT.ndjson LOADED" }
    val (vectors, out, loaded) = arguments.map(::File)
    val json = ObjectMapper()
    File("$out").bufferedWriter(Charsets.US_ASCII).use { writer ->
        for ((name, entry) in json.readTree(File(vectors, "index.json"))["files"].properties()) {
            val run: (JsonNode, Lines) -> Unit = when (val format = entry["format"].textValue()) {
                "hash" -> ::hash
                "decisions" -> ::decisions
                "envelope" -> ::envelope
                "tokens" -> ::tokens
                "population" -> { document, lines -> population(document).forEach(lines::case) }
                // The policy below all SDKs, proven once (core/session).
                "session" -> continue
                else -> error("$name has the format $format, which this runner does not know: teach it")
            }
            val lines = Lines(name)
            run(json.readTree(File(vectors, name)), lines)
            writer.write(lines.text())
        }
    }
    val mapped = File("/proc/self/maps").readLines().map { it.substringAfter('/', "") }.filter { it.isNotEmpty() }.distinct()
    val jar = File(Engine::class.java.protectionDomain.codeSource.location.toURI())
    loaded.writeText((listOf("jar $jar") + mapped.map { "mapped /$it" }).joinToString("\n", postfix = "\n"))
}
