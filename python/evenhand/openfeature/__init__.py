"""The provider for OpenFeature: `pip install evenhand[openfeature]`. How things map stands in docs/openfeature.md."""

try:
    import openfeature.provider  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "evenhand.openfeature needs the OpenFeature SDK: pip install 'evenhand[openfeature]'", name="openfeature"
    ) from None

from ._provider import EvenhandProvider

__all__ = ["EvenhandProvider"]
