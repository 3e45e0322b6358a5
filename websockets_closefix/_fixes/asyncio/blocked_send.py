"""
Closing, and keepalive, hang while more than ``write_limit`` is unsent to a peer that stalls.

``send()``, ``close()`` and keepalive's ``ping()`` wait for room to write before any time limit
counts. A connection that is being closed is aborted after ``close_timeout``, and so is one whose
``close()`` is cancelled, which websockets would leave open. One with keepalive is given up by the
kernel when the peer takes nothing at all for ``ping_interval`` + ``ping_timeout``, as in
``websockets.sync``; not while it is closing, when ``close_timeout`` counts, nor afterwards, when
the kernel delivers what has been sent. A peer that is slow is left alone.

"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs
from .._user_timeout import set_user_timeout
from ._deadline import abort_at_deadline, is_closing
from ._discard import call_before_discarding

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection as AnyConnection

    class Connection(AnyConnection):
        """One with keepalive."""

        has_kernel_limit: bool
        """Ours: whether TCP_USER_TIMEOUT was set here. Not sync's name: both have one Protocol."""


async def close(
    wrapped: Callable[..., Any], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Close, the deadline counting from now, whether data are unsent or this is cancelled."""
    if is_closing(instance):
        await wrapped(*args, **kwargs)
        return
    start_closing(instance)
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
    interval, timeout = instance.ping_interval, instance.ping_timeout
    # It may be closing already: a close frame can come with the end of the opening handshake.
    if interval is not None and timeout is not None and not is_closing(instance):
        sock = socket_of(instance)
        instance.has_kernel_limit = bool(sock) and set_user_timeout(sock, interval + timeout)
        call_before_discarding(instance, start_closing)
    wrapped(*args, **kwargs)


def start_closing(connection: AnyConnection) -> None:
    """Have ``close_timeout`` count for what is unsent, instead of the kernel's limit."""
    sock = socket_of(connection)
    if not sock:
        return
    # A socket that is closed may have left its number to another.
    if getattr(connection, "has_kernel_limit", False) and not connection.transport.is_closing():
        with contextlib.suppress(OSError):  # it is being lost
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
    if connection.transport.get_write_buffer_size():
        abort_at_deadline(connection)


def socket_of(connection: AnyConnection) -> Any:
    """Return what stands for the socket; up to Python 3.10, none when TLS has lost its own."""
    return connection.transport.get_extra_info("socket")


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
