"""Loggers for connections: one that drops everything, and one that shows each record."""

from __future__ import annotations

import logging
from typing import Any, Callable


def quiet_logger() -> logging.Logger:
    """
    Return a logger that drops what it is given.

    On every release, data that arrive while a connection closes are logged as an "unexpected
    internal error".

    """
    logger = logging.Logger(__name__, logging.CRITICAL)
    logger.addHandler(logging.NullHandler())
    return logger


def tapped_logger(tap: Callable[[Any], bool]) -> logging.Logger:
    """
    Return a DEBUG logger that shows each record to ``tap``, in the thread that logs.

    ``tap`` is a filter, since a handler is called under its lock: a thread that is held there would
    hold the other at its next log line, too.

    """
    logger = logging.Logger(__name__, logging.DEBUG)
    logger.addFilter(tap)
    return logger
