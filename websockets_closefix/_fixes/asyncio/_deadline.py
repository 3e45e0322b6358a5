"""Ends a connection when ``close_timeout`` has elapsed, whatever its tasks are waiting for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection


CONNECTING, OPEN = 0, 1
"""Values of a connection's state; those of CLOSING and CLOSED are greater."""


def is_closing(connection: Connection) -> bool:
    """Tell whether a connection is closing or closed."""
    return connection.protocol.state > OPEN


def abort_at_deadline(connection: Connection) -> None:
    """
    Have a connection aborted when ``close_timeout`` has elapsed, unless it is lost before that.

    websockets' own code aborts it then, too, but only where a task has come to wait for it. Where
    that happens first, nothing is left to be done; the timer goes with the connection.

    """
    if connection.close_timeout is not None:
        deadline = connection.close_deadline or connection.loop.time() + connection.close_timeout
        call_unless_lost(connection, deadline, abort)


def call_unless_lost(
    connection: Connection, when: float, function: Callable[[Connection], object]
) -> None:
    """Call a function with a connection at a time of the event loop, unless it is lost by then."""
    lost = connection.connection_lost_waiter
    if not lost.done():
        timer = connection.loop.call_at(when, function, connection)
        lost.add_done_callback(lambda _: timer.cancel())


def abort(connection: Connection) -> None:
    """
    Abort a connection, and have ``ConnectionClosed`` say why, as websockets does.

    Tasks that are blocked in ``send()`` are told, too: websockets has them return, when a
    connection is aborted, as if their messages had been sent.

    """
    # On Python 3.9 and 3.10 it isn't the built-in one.
    exc = asyncio.TimeoutError("timed out while closing connection")
    if hasattr(connection, "set_connection_exc"):  # from 17.3 on
        connection.set_connection_exc(exc)
    else:
        connection.set_recv_exc(exc)
    for waiter in connection.drain_waiters:
        if not waiter.done():
            waiter.set_exception(exc)
    connection.transport.abort()
