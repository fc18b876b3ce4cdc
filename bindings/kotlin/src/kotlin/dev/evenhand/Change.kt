package dev.evenhand

/** What has changed in a client: see [Client.onChange]. */
public enum class Change {
    /** Another manifest is in use. */
    MANIFEST,

    /** The server has not confirmed the manifest for `staleAfterMs`. */
    STALE,

    /** Confirmed again, after [STALE] or [DENIED]. */
    FRESH,

    /** The server denies the manifest: a wrong key or address; [Client.denial] says more. */
    DENIED,

    /** The client was closed. */
    CLOSED,
}

/** Who hears of changes in a client. What it throws is told to the logger. */
public fun interface ChangeListener {
    /** Takes a change. Be quick: the client's own loop waits meanwhile. */
    public fun changed(change: Change)
}
