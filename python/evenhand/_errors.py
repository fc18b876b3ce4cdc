"""What the package raises. Decisions never do."""


class EvenhandError(Exception):
    """Something that the caller asked for outside the path of a decision could not be done."""


class ManifestError(EvenhandError):
    """A manifest or an id list was refused; what was held stays.

    `code` is stable: `not_json`, `unsigned`, `unknown_key`, `wrong_signature`, `older`, `other_environment`,
    `manifest_error`, `bad_list`, … (docs/contract/manifest.md); the message says what, where and how to mend it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"
