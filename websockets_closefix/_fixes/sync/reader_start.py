"""
AttributeError in the reader thread when the peer resets a connection as it opens, on 11.0 to 13.1.

``__init__`` starts the reader thread, then assigns ``recv_exc`` (``recv_events_exc`` up to 12.0),
where the thread notes an error. 14.0 assigns first. Assigning earlier from outside wouldn't do:
``__init__`` would overwrite what was noted. So the thread waits before it notes anything.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from .._fix import Args, Fix, Kwargs
from .._waiting import wait_until

if TYPE_CHECKING:
    from websockets.sync.connection import Connection

INIT_TIMEOUT = 1.0
"""Seconds to wait for another thread to get from one line of ``__init__`` to the next."""


def set_recv_exc(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Note the error once ``__init__`` has assigned ``recv_exc``."""
    wait_for_attribute(instance, "recv_exc")
    wrapped(*args, **kwargs)


def set_recv_events_exc(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Note the error once ``__init__`` has assigned ``recv_events_exc``."""
    wait_for_attribute(instance, "recv_events_exc")
    wrapped(*args, **kwargs)


def wait_for_attribute(connection: Connection, name: str) -> None:
    """
    Wait until another thread has assigned an attribute, or assign it here.

    This thread holds ``protocol_mutex``, which ``__init__`` doesn't need.

    """
    if not wait_until(lambda: hasattr(connection, name), INIT_TIMEOUT):
        vars(connection).setdefault(name, None)  # __init__ was interrupted


FIX = Fix(
    name="sync.reader_start",
    issue=None,
    symptom="AttributeError in the reader thread when the peer resets a connection as it opens",
    since=(11, 0),
    fixed=(14, 0),
    module="websockets.sync.connection",
    examined=("Connection.__init__",),
    flawed=r"\bstart\b.*\brecv_(events_)?exc\b",
    cured=r"\brecv_(events_)?exc\b.*\bstart\b",
    wrappers={
        "Connection.set_recv_exc": set_recv_exc,
        "Connection.set_recv_events_exc": set_recv_events_exc,
    },
)
