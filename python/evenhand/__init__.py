"""Experiments and feature flags, decided locally.

`Engine` decides by a manifest in memory; `Client` and `AsyncClient` fetch it, queue exposures, and send events.
"""

from ._errors import EvenhandError, ManifestError
from ._native import Bucket, Context, Decision, Engine, OverrideResult, __version__, bucket, verify_override

# Known to type checkers by its name. Importing it from `typing` would take five times as long as all else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._async_client import AsyncClient
    from ._client import Client
    from ._sticky import FileStickyStore, MemoryStickyStore, StickyRecord, StickyStore

__all__ = [
    "AsyncClient",
    "Bucket",
    "Client",
    "Context",
    "Decision",
    "Engine",
    "EvenhandError",
    "FileStickyStore",
    "ManifestError",
    "MemoryStickyStore",
    "OverrideResult",
    "StickyRecord",
    "StickyStore",
    "__version__",
    "bucket",
    "verify_override",
]

# What talks to servers and files is imported when it is asked for: an import costs every process that only decides.
_LATER = {
    "AsyncClient": "_async_client",
    "Client": "_client",
    "FileStickyStore": "_sticky",
    "MemoryStickyStore": "_sticky",
    "StickyRecord": "_sticky",
    "StickyStore": "_sticky",
}


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
