"""Holds a lock in such a way that no exception, wherever it strikes, leaves it locked."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, TypeVar

T = TypeVar("T")


def locked(lock: contextlib.AbstractContextManager[Any], step: Callable[..., T], *args: Any) -> T:
    """Call ``step`` while the lock is held, and return what it returns."""
    # On one line, because an exception that a signal handler or a trace function raises between
    # the last line of a block and the end of the block finds the lock locked and leaves it so.
    with lock: return step(*args)  # fmt: skip  # noqa: E701
