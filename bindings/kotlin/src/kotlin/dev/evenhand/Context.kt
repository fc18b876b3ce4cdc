package dev.evenhand

import dev.evenhand.internal.CoreContext
import dev.evenhand.internal.Snapshot
import dev.evenhand.internal.copied
import java.util.Collections

/**
 * A context for many decisions: its values are put where a manifest's rules look for them once, at the first decision of each
 * manifest. For one or two decisions a plain map is as good. Any number of threads may use one at once.
 *
 * Attributes by name; unit ids are attributes like any other: `mapOf("user_id" to "u-1", "country" to "NZ")`. Values are text
 * ([CharSequence]), any [Number] (one numeric type: the nearest double), [Boolean], and collections or arrays of those. `null` means
 * that the attribute is missing. All else (NaN, infinities, text with a lone surrogate or beyond 65,536 bytes, lists beyond 1,000
 * elements or with anything else inside) is there but *unusable*: no rule but `is_present` can use it, and it is counted
 * (`unusableAttributes`).
 *
 * @param attributes copied, with the lists inside; later changes are not seen.
 * @param sticky stored assignments; at most one for an experiment, else the last counts.
 * @param forced variations by flag, from verified override tokens or for a test.
 */
public class Context @JvmOverloads constructor(
    attributes: Map<String, *>,
    sticky: List<StickyRecord> = Collections.emptyList(),
    forced: Map<String, String> = Collections.emptyMap(),
) {
    /** The attributes, read-only. */
    public val attributes: Map<String, Any?> = copied(attributes)

    /** Stored assignments. */
    public val sticky: List<StickyRecord> = if (sticky.isEmpty()) Collections.emptyList() else ArrayList(sticky)

    /** Forced variations by flag. */
    public val forced: Map<String, String> = if (forced.isEmpty()) Collections.emptyMap() else LinkedHashMap(forced)

    /** The id of the snapshot, not the snapshot: a context kept must not keep an old manifest. */
    private class Bound(@JvmField val snapshot: Long, @JvmField val values: CoreContext)

    /** One object with both, so that threads of different snapshots can't mix them. */
    @Volatile
    private var bound: Bound? = null

    /** The values in the slots of a snapshot. */
    internal fun boundTo(snapshot: Snapshot): CoreContext {
        val held = bound
        if (held != null && held.snapshot == snapshot.id) return held.values
        val values = snapshot.bind(attributes, sticky, forced)
        bound = Bound(snapshot.id, values)
        return values
    }
}
