"""
Closing, and keepalive, hang while more than ``write_limit`` is unsent to a peer that stalls.

``close()`` waits until what was sent before has left, and only then for ``close_timeout``: one
stalled client keeps ``server.close()`` from returning, and a task that is blocked in ``send()``
stays there. So does keepalive, whose ping waits in the same place, before its time limit begins. No
release has cured it; the documentation of ``send()`` says that ``close()`` "will likely time out
then abort the TCP connection", that of keepalive that the connection "is considered broken and
terminated".

A connection that is being closed is aborted after ``close_timeout``, and one with keepalive whose
peer takes nothing at all for ``ping_timeout`` is closed as one that doesn't answer. Both leave a
peer alone that is slow.

"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from .._fix import Args, Fix, Kwargs
from ._deadline import abort_after_close_timeout, cause_of_end

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection


async def close(
    wrapped: Callable[..., Any], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Close, the deadline counting from now."""
    if instance.protocol.state.name == "OPEN":
        abort_after_close_timeout(instance)
    await wrapped(*args, **kwargs)


def connection_lost(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """
    Have tasks that are blocked in ``send()`` raise ``ConnectionClosed``.

    Without an exception, which there is none of when a connection is aborted, websockets has them
    return as if their message had been sent.

    """
    (exc,) = args
    if instance.paused and exc is None:
        cause = cause_of_end(instance) or ConnectionResetError("Connection lost")
        for waiter in instance.drain_waiters:
            if not waiter.done():
                waiter.set_exception(cause)
    wrapped(*args, **kwargs)


async def keepalive(
    wrapped: Callable[..., Any], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Send pings, and close the connection if one is stuck behind data that the peer won't take."""
    ping_timeout = instance.ping_timeout
    if ping_timeout is None:
        await wrapped(*args, **kwargs)
        return
    timer: asyncio.TimerHandle

    def look(before: Blocked | None = None) -> None:
        nonlocal timer
        now = blocked(instance)
        if before and now and now.is_no_further(before) and is_overdue(instance, ping_timeout):
            fail(instance)
        else:
            timer = instance.loop.call_later(ping_timeout, look, now)

    look()
    try:
        await wrapped(*args, **kwargs)
    finally:
        timer.cancel()


class Blocked(NamedTuple):
    """What has waited longest for room to write, and how many bytes are in its way."""

    waiter: asyncio.Future[None]
    unsent: int

    def is_no_further(self, before: Blocked) -> bool:
        """
        Tell whether the peer has taken nothing since: one that is slow would have.

        Where it is another waiter, writing has been resumed in between.

        """
        return self.waiter is before.waiter and self.unsent >= before.unsent


def blocked(connection: Connection) -> Blocked | None:
    """Return what is blocked, if anything."""
    if not connection.drain_waiters:
        return None
    return Blocked(connection.drain_waiters[0], connection.transport.get_write_buffer_size())


def is_overdue(connection: Connection, ping_timeout: float) -> bool:
    """Tell whether a ping, keepalive's or another, has waited for its pong for too long."""
    up_to_15_0 = hasattr(connection, "pong_waiters")
    pings = connection.pong_waiters if up_to_15_0 else connection.pending_pings  # type: ignore[attr-defined]
    latest = connection.loop.time() - ping_timeout
    return any(timestamp <= latest for _, timestamp in pings.values())


def fail(connection: Connection) -> None:
    """Do what keepalive does when a pong doesn't come, without waiting for room to write."""
    if connection.protocol.state.name == "OPEN":
        connection.protocol.fail(1011, "keepalive ping timeout")
        with contextlib.suppress(Exception):  # as websockets: it ends all the same
            connection.send_data()
        abort_after_close_timeout(connection)


FIX = Fix(
    name="asyncio.blocked_send",
    issue=None,
    symptom="close(), send(), keepalive and server.close() hang while a peer stalls",
    since=(13, 0),
    fixed=None,
    module="websockets.asyncio.connection",
    examined=("Connection.send_context",),
    # drain() is awaited before the time limit, as in each release that was looked at.
    flawed=r"\bloop time send_data drain (Exception )?debug (logger )?(set_connection_exc )?"
    r"(ProtocolError \w+ error )?(asyncio_timeout_at asyncio|asyncio timeout_at) shield "
    r"connection_lost_waiter TimeoutError\b",
    cured=None,
    wrappers={
        "Connection.close": close,
        "Connection.connection_lost": connection_lost,
        "Connection.keepalive": keepalive,
    },
)
