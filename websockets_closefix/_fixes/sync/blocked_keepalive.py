"""
Keepalive doesn't end a ``send()`` that is blocked, on 15.0 and later.

A ping is sent holding ``protocol_mutex``, which the thread in ``send()`` has for as long as the
peer takes nothing. So ``send()`` and ``recv()`` hang for good, keepalive or not, though its
documentation says that such a connection is considered broken and terminated. No release has cured
it; the reference is that documentation.

The wrapper has the kernel give the connection up, if the peer takes nothing for ``ping_interval`` +
``ping_timeout``: as long as keepalive takes where it can send a ping. Threads in ``send()`` and
``recv()`` get ConnectionClosedError. Kernels without TCP_USER_TIMEOUT (:rfc:`5482`), which is to
say most but Linux, can't do so: there it is as without the fix.

That is for an open connection. When it is closing, ``close_timeout`` bounds the wait instead, and
what has been sent is the kernel's to deliver afterwards, to a peer that is busy for however long.

"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs
from .._user_timeout import set_user_timeout
from ._closing import connection_of

if TYPE_CHECKING:
    from websockets.protocol import Protocol
    from websockets.sync.connection import Connection as AnyConnection

    class Connection(AnyConnection):
        """One of 15.0 or later; the types are those of 14.1."""

        ping_interval: float | None
        ping_timeout: float | None

        has_user_timeout: bool
        """Ours: whether it is set here."""


def start_keepalive(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Start keepalive, and have the kernel give up a peer that takes nothing."""
    if instance.ping_interval is not None and instance.ping_timeout is not None:
        seconds = instance.ping_interval + instance.ping_timeout
        instance.has_user_timeout = set_user_timeout(instance.socket, seconds)
    wrapped(*args, **kwargs)


def send_close(
    wrapped: Callable[..., None], instance: Protocol, args: Args, kwargs: Kwargs
) -> None:
    """Send a close frame; in the thread that closes, which holds ``protocol_mutex``."""
    take_back(connection_of(instance))
    wrapped(*args, **kwargs)


def close_socket(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Close the socket of a connection that has ended, whichever end closed it."""
    take_back(instance)
    wrapped(*args, **kwargs)


def take_back(connection: Any) -> None:
    """Have the kernel deliver what has been sent as it does by default."""
    if getattr(connection, "has_user_timeout", False):
        connection.has_user_timeout = False
        with contextlib.suppress(OSError):  # it is closed already
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)


FIX = Fix(
    name="sync.blocked_keepalive",
    issue=None,
    symptom="send() and recv() hang, in spite of keepalive, when the peer takes nothing any more",
    since=(15, 0),
    fixed=None,
    module="websockets.sync.connection",
    examined=("Connection.start_keepalive", "Connection.keepalive"),
    flawed=(
        r"^ping_interval threading Thread keepalive keepalive_thread start$"
        r"|^(ping_interval )?recv_events_thread join (ping_interval )?latency is_alive ping "
        r"ConnectionClosed debug logger ping_timeout wait send_context protocol fail CloseCode "
        r"INTERNAL_ERROR Exception error$"
    ),
    cured=None,
    wrappers={
        "Connection.start_keepalive": start_keepalive,
        "Connection.close_socket": close_socket,
        "Protocol.send_close": send_close,
    },
)
