"""What `evenhand.stats` raises."""

from .._errors import EvenhandError


class StatsError(EvenhandError, ValueError):
    """An argument is wrong, or arguments contradict each other. What the data alone do not allow is no error but a `reason`.

    `code` is stable: `wrong_argument`, `inconsistent` (no set of units has these sums), `overflow` (sums beyond 127 bits), or
    `out_of_domain`; the message says what, where and how to mend it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"
