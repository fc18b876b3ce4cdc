"""The provider for OpenFeature: `pip install evenhand[openfeature]`. How things map stands in docs/openfeature.md."""

try:
    import openfeature.provider  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "evenhand.openfeature needs the OpenFeature SDK: pip install 'evenhand[openfeature]'", name=error.name
    ) from error

from ._provider import EvenhandProvider

__all__ = ["EvenhandProvider"]
