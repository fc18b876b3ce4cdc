package dev.evenhand

import dev.evenhand.internal.Json
import dev.evenhand.internal.create
import dev.evenhand.internal.tail
import java.io.File
import java.io.FileOutputStream
import java.io.RandomAccessFile

/**
 * Where sticky assignments are kept: what a unit was given stays with it, whatever weights and targeting become. Asked before a
 * decision and told after one, by the threads that decide, so be quick. What a store throws is logged; the decision is then made
 * without its records.
 */
public interface StickyStore {
    /** All records of a unit id. */
    public fun load(unit: String): Collection<StickyRecord>

    /** Keeps a record, replacing one of the same unit and experiment. */
    public fun save(record: StickyRecord)
}

/**
 * Records in memory, of the units seen last. Any number of threads may use it.
 *
 * @param capacity counts units.
 */
public class MemoryStickyStore @JvmOverloads constructor(
    private val capacity: Int = 100_000,
) : StickyStore {
    init {
        require(capacity > 0) { "`capacity` is at least 1" }
    }

    /** In the order of access: the first is the one not seen for longest. */
    private val units = object : LinkedHashMap<String, Map<String, StickyRecord>>(16, 0.75f, true) {
        override fun removeEldestEntry(eldest: Map.Entry<String, Map<String, StickyRecord>>) = size > capacity
    }

    override fun load(unit: String): Collection<StickyRecord> = synchronized(units) { units[unit]?.values.orEmpty() }

    override fun save(record: StickyRecord): Unit = synchronized(units) {
        // A new map: whoever was given the old one may still be reading it.
        units[record.unit] = units[record.unit].orEmpty() + (record.experiment to record)
    }
}

/**
 * Records in a file, one JSON object a line, which processes of one machine may share: lines are only ever appended, and those
 * of others are seen within a second. It grows by about 120 bytes for each assignment, and memory holds all of it.
 *
 * @param file created when there is none.
 * @throws java.io.IOException when the file can't be opened.
 */
public class FileStickyStore(private val file: File) : StickyStore {
    private val units = HashMap<String, Map<String, StickyRecord>>()
    private var read = 0L
    private var looked = 0L

    init {
        create(file)
        look()
    }

    override fun load(unit: String): Collection<StickyRecord> = synchronized(units) {
        if (System.nanoTime() - looked > LOOK_NANOS) look()
        units[unit]?.values.orEmpty()
    }

    override fun save(record: StickyRecord): Unit = synchronized(units) {
        val (experiment, phase, unit, variation) = record
        val line = Json.write(linkedMapOf("experiment" to experiment, "phase" to phase, "unit" to unit, "variation" to variation))
        // A line feed before as well: a line that was cut when a process was killed must not take this one along.
        FileOutputStream(file, true).use { it.write("\n$line\n".toByteArray()) }
        keep(record)
    }

    private fun keep(record: StickyRecord) {
        units[record.unit] = units[record.unit].orEmpty() + (record.experiment to record)
    }

    /** Reads the whole lines that were appended since the last look. */
    private fun look() {
        looked = System.nanoTime()
        RandomAccessFile(file, "r").use { open ->
            val size = open.length()
            // Somebody has emptied it: begin again.
            if (size < read) {
                units.clear()
                read = 0
            }
            if (size == read) return
            val bytes = tail(open, read)
            val end = bytes.lastIndexOf('\n'.code.toByte()) + 1
            read += end
            String(bytes, 0, end).split('\n').filter(String::isNotEmpty).forEach { line -> parsed(line)?.let(::keep) }
        }
    }

    private companion object {
        /** How often the file is looked at for what other processes have added. */
        const val LOOK_NANOS = 1_000_000_000L

        /** A line's record; null for one that was cut when a process was killed. */
        fun parsed(line: String): StickyRecord? {
            val members = try {
                Json.parse(line) as? Map<*, *>
            } catch (_: IllegalArgumentException) {
                null
            } ?: return null
            val experiment = members["experiment"] as? String ?: return null
            val phase = members["phase"] as? Long ?: return null
            val unit = members["unit"] as? String ?: return null
            return StickyRecord(experiment, phase, unit, members["variation"] as? String ?: return null)
        }
    }
}
