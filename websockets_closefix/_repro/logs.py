"""Loggers for connections: one that drops everything, and one that shows each record."""

from __future__ import annotations

import logging
from typing import Any, Callable


def quiet_logger() -> logging.Logger:
    """Return a logger that drops what it is given: no release closes without errors in its log."""
    logger = logging.Logger(__name__, logging.CRITICAL)
    logger.addHandler(logging.NullHandler())
    return logger


def tapped_logger(tap: Callable[[Any], bool]) -> logging.Logger:
    """Return a DEBUG logger that shows each record to ``tap``, in the thread that logs."""
    logger = logging.Logger(__name__, logging.DEBUG)
    logger.addFilter(tap)  # a handler is called under a lock, where one thread would hold another
    return logger
