package dev.evenhand

/**
 * A variation that the host has stored for a unit.
 *
 * @property experiment the experiment's id.
 * @property phase its phase, 0 to 2^32 − 1.
 * @property unit the unit id as text.
 * @property variation the variation's key.
 */
public data class StickyRecord(
    public val experiment: String,
    public val phase: Long,
    public val unit: String,
    public val variation: String,
)
