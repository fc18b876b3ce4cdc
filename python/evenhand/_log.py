"""The logger `evenhand`: every diagnostic of the package, with its code in the record's `evenhand_code`."""

import logging

logger = logging.getLogger("evenhand")
logger.addHandler(logging.NullHandler())

LEVELS = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def warn(message: str) -> None:
    """What the native module has to say."""
    logger.warning(message, extra={"evenhand_code": "fault"})
