package dev.evenhand

/** Why a decision is what it is, in the order of the packed form (docs/contract/evaluation.md, "Reasons"). The list is closed. */
public enum class Reason {
    /** The engine holds no manifest. */
    NO_MANIFEST,

    /** The client has no manifest yet, or an id list that the flag needs is not there. */
    NOT_READY,

    /** The manifest has no such flag. */
    FLAG_UNKNOWN,

    /** The flag is archived. */
    ARCHIVED,

    /** The flag was switched off by its kill switch. */
    KILLED,

    /** The experiment is paused. */
    PAUSED,

    /** Forced by an override. */
    OVERRIDE,

    /** The unit is held out. */
    HOLDOUT,

    /** A targeting rule gave it. */
    TARGETED,

    /** A rollout gave it. */
    ROLLOUT,

    /** An experiment's split gave it. */
    SPLIT,

    /** A stored assignment gave it. */
    STICKY,

    /** No rule matched: the flag's default. */
    DEFAULT,

    /** The context has no usable unit id. */
    NO_UNIT,

    /** The flag needs something that this version can't do. */
    UNSUPPORTED,

    /** The flag has another type than the one asked for. */
    TYPE_MISMATCH,

    /** Something broke; see `lastError`. */
    ERROR,
    ;

    internal companion object {
        /** `values()` copies; this is on the path of every decision. */
        @JvmField
        val all: Array<Reason> = values()
    }
}
