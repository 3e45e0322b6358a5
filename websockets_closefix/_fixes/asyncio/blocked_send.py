"""
Closing, and keepalive, hang while more than ``write_limit`` is unsent to a peer that stalls.

``send()``, ``close()`` and keepalive's ``ping()`` wait for room to write before any time limit
counts. A connection that is being closed is aborted after ``close_timeout``, and so is one whose
``close()`` is cancelled, which websockets would leave open. One with keepalive is given up by the
kernel when the peer takes nothing at all for ``ping_interval`` + ``ping_timeout``, as in
``websockets.sync``. A peer that is slow is left alone.

"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs
from ..sync.blocked_keepalive import set_user_timeout
from ._deadline import abort_at_deadline, is_closing

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection


async def close(
    wrapped: Callable[..., Any], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Close, the deadline counting from now, whether data are unsent or this is cancelled."""
    if is_closing(instance):
        await wrapped(*args, **kwargs)
        return
    if instance.transport.get_write_buffer_size():
        abort_at_deadline(instance)
    try:
        await wrapped(*args, **kwargs)
    except asyncio.CancelledError:
        abort_at_deadline(instance)
        raise


close.__qualname__ = "Connection.close"  # as its coroutines are called in warnings and tasks


def start_keepalive(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Start keepalive, and have the kernel give up a peer that takes nothing."""
    if instance.ping_interval is not None and instance.ping_timeout is not None:
        sock = instance.transport.get_extra_info("socket")
        set_user_timeout(sock, instance.ping_interval + instance.ping_timeout)
    wrapped(*args, **kwargs)


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
