"""
Taking ``protocol_mutex`` where the thread that holds it may never let go.

It is a plain lock, not re-entrant, and websockets takes it with a ``with`` statement. So do we: an
exception out of a signal handler (Ctrl-C, a time limit) can strike between any two instructions of
``acquire(timeout=...)``, :keyword:`try`, but not between a lock's ``__enter__`` and the block.

"""

from __future__ import annotations

import contextlib
import socket
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from .._waiting import wait_until

if TYPE_CHECKING:
    from websockets.sync.connection import Connection

MUTEX_TIMEOUT = 1.0
"""
Seconds to wait for ``protocol_mutex``.

Once the socket is shut down, any other thread that holds the mutex is about to let go. A wait is in
vain for a thread that a fork left behind in the parent process, and for the waiting thread itself.

"""


def shut_down(sock: socket.socket) -> None:
    """
    Shut down and close the socket; websockets does it again, to no effect.

    A thread that is blocked in ``sendall()`` holds the mutex until the socket is shut down, so
    this comes before waiting for the mutex, never after.

    """
    with contextlib.suppress(OSError):  # it is closed already
        sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        sock.close()


def mutex_of(connection: Connection) -> AbstractContextManager[Any]:
    """
    Return what to put into a ``with`` statement to keep other threads from the protocol.

    Returns:
        ``protocol_mutex``; or nothing to wait for, if this thread holds the mutex already, or
        if it doesn't come free in MUTEX_TIMEOUT seconds.

    """
    if is_free(connection):
        return connection.protocol_mutex
    return contextlib.nullcontext()


def is_free(connection: Connection) -> bool:
    """Tell whether the mutex is free, or comes free in time; it isn't taken."""
    mutex = connection.protocol_mutex
    if not mutex.locked():
        return True
    return not is_held_further_up(connection) and wait_until(
        lambda: not mutex.locked(), MUTEX_TIMEOUT
    )


def is_held_further_up(connection: Connection) -> bool:
    """
    Tell whether a caller of this thread holds the mutex, as far as its code tells.

    On 13.1 to 14.1 ``handshake()`` holds it while ``process_request`` and ``process_response``
    run, which may close the connection; and so does a home-made cure of issue 1558 that was put
    over ours. ``send_context()`` and ``recv_events()`` use it too, but let go before they close.

    """
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name in ("send_context", "recv_events"):
            return False
        if code.co_name == "handshake" or (
            "protocol_mutex" in code.co_names and frame.f_globals.get("__name__") != __name__
        ):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
