"""Options, classes of answers, delays (docs/contract/session.md): what the model of the session is made of."""

DEFAULTS = {
    "poll_interval_ms": (60_000, 1_000, 86_400_000), "stream_poll_interval_ms": (600_000, 1_000, 86_400_000), "announce_jitter_ms": (250, 0, 60_000),
    "backoff_base_ms": (1_000, 10, 3_600_000), "backoff_max_ms": (60_000, 10, 86_400_000), "denied_retry_ms": (300_000, 1_000, 86_400_000),
    "retry_after_max_ms": (300_000, 1_000, 86_400_000), "report_timeout_ms": (120_000, 1_000, 3_600_000), "stale_after_ms": (600_000, 1_000, 2_592_000_000),
    "dedupe_capacity": (50_000, 0, 10_000_000), "dedupe_ttl_ms": (3_600_000, 1_000, 2_592_000_000), "queue_max_events": (10_000, 10, 1_000_000),
    "queue_max_bytes": (8_388_608, 262_144, 1_073_741_824), "batch_max_events": (500, 1, 5_000), "batch_max_bytes": (524_288, 1_024, 5_000_000),
    "flush_interval_ms": (5_000, 1, 3_600_000),
}
MASK64 = (1 << 64) - 1


def answer(status, good_only_200=False):
    """The class of a status."""
    if status == 200 or (not good_only_200 and 200 <= status <= 299):
        return "good"
    if status == 304:
        return "not modified"
    if status in (400, 413, 422):
        return "unreadable"
    if 300 <= status <= 499 and status not in (408, 425, 429):
        return "denied"
    return "passing"


def retry_after_ms(header):
    text = None if header is None else header.strip(" \t")
    return int(text) * 1_000 if text and text.isascii() and text.isdigit() else None


class Jitter:
    def __init__(self, entropy, options):
        self.state, self.options = int.from_bytes(entropy, "big") & MASK64, options

    def up_to(self, most):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK64
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK64
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK64
        return (z ^ z >> 31) * (most + 1) >> 64

    def shorter(self, wait):
        return wait - self.up_to(wait // 10)

    def backoff(self, failures):
        wait = min(self.options["backoff_base_ms"] << (failures - 1), self.options["backoff_max_ms"])
        return wait - self.up_to(wait // 2)

    def retry(self, failures, after):
        own = self.backoff(failures)
        if after is None:
            return own
        asked = min(after, self.options["retry_after_max_ms"])
        return max(own, asked + self.up_to(asked // 10))


def within(timestamp):
    return min(max(timestamp, 0), 253_402_300_799_999)
