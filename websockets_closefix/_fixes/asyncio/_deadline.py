"""Ends a connection when ``close_timeout`` has elapsed, whatever its tasks are waiting for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection


def abort_after_close_timeout(connection: Connection, *, if_read: bool = False) -> None:
    """
    Have a connection aborted ``close_timeout`` from now, unless it is lost before that.

    websockets' own code aborts it then, too, but only where a task has come to wait for it. Where
    that happens first, nothing is left to be done; the timer goes with the connection.

    Args:
        connection: One that is closing.
        if_read: Wait on while reading is paused, which is when its end can't be seen.

    """
    close_timeout = connection.close_timeout
    if close_timeout is None or connection.connection_lost_waiter.done():
        return
    timer: asyncio.TimerHandle

    def start() -> None:
        nonlocal timer
        timer = connection.loop.call_later(close_timeout, elapse)

    def elapse() -> None:
        if if_read and connection.recv_messages.paused:
            start()
        else:
            abort(connection)

    start()
    connection.connection_lost_waiter.add_done_callback(lambda _: timer.cancel())


def abort(connection: Connection) -> None:
    """Abort a connection, and have ``ConnectionClosed`` say why, as websockets does."""
    # On Python 3.9 and 3.10 it isn't the built-in one.
    exc = asyncio.TimeoutError("timed out while closing connection")
    if hasattr(connection, "set_connection_exc"):  # from 17.3 on
        connection.set_connection_exc(exc)
    else:
        connection.set_recv_exc(exc)
    connection.transport.abort()


def cause_of_end(connection: Connection) -> BaseException | None:
    """Return what websockets noted as the reason why a connection was lost."""
    exc: BaseException | None = getattr(connection, "connection_exc", None)  # from 17.3 on
    return exc or getattr(connection, "recv_exc", None)
