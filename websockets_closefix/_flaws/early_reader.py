"""
websockets 11.0 to 13.1: the reader thread is started before what it needs is there.

``__init__`` starts the thread, then assigns ``recv_exc`` (``recv_events_exc`` up to 12.0). Where
the peer resets the connection at once, the thread wants to note the error before that. 14.0 assigns
first. Assigning earlier from outside wouldn't do: ``__init__`` would overwrite what was noted.

"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from websockets.sync.connection import Connection

INIT_TIMEOUT = 1.0
"""Seconds to wait for another thread to get from one line of ``__init__`` to the next."""

POLL_INTERVAL = 0.001
"""Seconds between two looks at the attribute."""


def set_recv_exc(
    wrapped: Callable[..., None],
    instance: Connection,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Note the error once ``__init__`` has assigned ``recv_exc``."""
    wait_for_attribute(instance, "recv_exc")
    wrapped(*args, **kwargs)


def set_recv_events_exc(
    wrapped: Callable[..., None],
    instance: Connection,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Note the error once ``__init__`` has assigned ``recv_events_exc``."""
    wait_for_attribute(instance, "recv_events_exc")
    wrapped(*args, **kwargs)


def wait_for_attribute(connection: Connection, name: str) -> None:
    """
    Wait until another thread has assigned an attribute, or assign it here.

    This thread holds ``protocol_mutex``, which ``__init__`` doesn't need.

    """
    # Counted, since a test of the application's may have stopped the clock.
    for _ in range(int(INIT_TIMEOUT / POLL_INTERVAL)):
        if hasattr(connection, name):
            return
        time.sleep(POLL_INTERVAL)
    vars(connection).setdefault(name, None)  # __init__ was interrupted
