"""
Closing, and keepalive, hang while more than ``write_limit`` is unsent to a peer that stalls.

A connection that is closed with data unsent is aborted after ``close_timeout``, and so is one whose
``close()`` is cancelled, which websockets would leave open. One with keepalive whose peer takes
nothing at all for ``ping_timeout`` is closed as one that doesn't answer. A peer that is slow is
left alone.

"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from ..._state import is_wanted
from .._fix import Args, Fix, Kwargs
from ._deadline import abort_at_deadline, is_closing

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection


def close(
    wrapped: Callable[..., Any], instance: Connection, args: Args, kwargs: Kwargs
) -> Coroutine[Any, Any, None]:
    """Return a coroutine that closes."""
    closing: Coroutine[Any, Any, None] = wrapped(*args, **kwargs)
    return closing if is_closing(instance) else close_by_deadline(instance, closing)


async def close_by_deadline(connection: Connection, closing: Coroutine[Any, Any, None]) -> None:
    """Close, the deadline counting from now, whether data are unsent or this is cancelled."""
    if not is_closing(connection) and connection.transport.get_write_buffer_size():
        abort_at_deadline(connection)
    try:
        await closing
    except asyncio.CancelledError:
        abort_at_deadline(connection)
        raise


def start_keepalive(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Start to send pings, and watch whether they can be sent."""
    wrapped(*args, **kwargs)
    if instance.keepalive_task is None or instance.ping_timeout is None:
        return
    # It holds neither, or they would be kept until they are garbage-collected.
    reference, send_ping = weakref.ref(instance), type(instance.protocol).send_ping

    def send_and_watch(data: bytes) -> None:
        connection = reference()
        assert connection is not None  # it is what calls this
        send_ping(connection.protocol, data)
        if asyncio.current_task() is connection.keepalive_task and is_wanted():
            watch(connection)

    # On this connection alone: few live long enough to send a ping.
    instance.protocol.send_ping = send_and_watch  # type: ignore[method-assign]


def watch(connection: Connection) -> None:
    """Close the connection if the ping is stuck behind data of which the peer takes nothing."""
    loop, lost = connection.loop, connection.connection_lost_waiter
    ping_timeout: float = connection.ping_timeout  # type: ignore[assignment]
    timer: asyncio.TimerHandle

    def look(before: Blocked | None) -> None:
        nonlocal timer
        now = blocked(connection)
        if before and now and now.is_no_further(before) and is_overdue(connection, ping_timeout):
            fail(connection)
        elif now:
            timer = loop.call_later(ping_timeout, look, now)
            return
        # Else what keepalive waits for is the pong, which has a time limit.
        lost.remove_done_callback(cancel)

    def cancel(_: object) -> None:
        timer.cancel()

    timer = loop.call_later(ping_timeout, look, blocked(connection))
    lost.add_done_callback(cancel)


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
    if not is_closing(connection):
        connection.protocol.fail(1011, "keepalive ping timeout")
        with contextlib.suppress(Exception):  # as websockets: it ends all the same
            connection.send_data()
        abort_at_deadline(connection)


FIX = Fix(
    name="asyncio.blocked_send",
    issue=None,
    symptom="close(), send(), keepalive and server.close() hang while a peer stalls",
    since=(13, 0),
    fixed=None,
    module="websockets.asyncio.connection",
    examined=("Connection.send_context",),
    # drain() is awaited before the time limit, as in each release that was looked at.
    flawed=r"\bloop time (close_deadline )?send_data drain (Exception )?debug (logger )?"
    r"(set_connection_exc )?(ProtocolError \w+ error )?"
    r"(asyncio_timeout_at asyncio|asyncio timeout_at) shield connection_lost_waiter TimeoutError\b",
    cured=None,
    wrappers={
        "Connection.close": close,
        "Connection.start_keepalive": start_keepalive,
    },
)
