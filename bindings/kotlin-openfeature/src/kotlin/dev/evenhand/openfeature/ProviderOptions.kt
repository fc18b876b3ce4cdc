package dev.evenhand.openfeature

/** How a provider is to be, beside its client. Read once, when the provider is made. */
public class ProviderOptions {
    /** The unit type that the targeting key is. */
    public var unit: String = "user_id"

    /** What `initialize` waits for the first manifest, in milliseconds. One that comes later still makes the provider ready. */
    public var readyTimeoutMs: Long = 10_000

    /** What `shutdown` takes to deliver events, in milliseconds. */
    public var closeTimeoutMs: Long = 5_000
}
