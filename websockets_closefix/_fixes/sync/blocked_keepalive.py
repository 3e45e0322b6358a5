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

"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.sync.connection import Connection as AnyConnection

    class Connection(AnyConnection):
        """One of 15.0 or later; the types are those of 14.1."""

        ping_interval: float | None
        ping_timeout: float | None


def start_keepalive(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Start keepalive, and have the kernel give up a peer that takes nothing."""
    if instance.ping_interval is not None and instance.ping_timeout is not None:
        set_user_timeout(instance.socket, instance.ping_interval + instance.ping_timeout)
    wrapped(*args, **kwargs)


def set_user_timeout(sock: socket.socket, seconds: float) -> None:
    """Set for how long a peer may take nothing, unless the program has done so."""
    option: Any = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None:
        return
    with contextlib.suppress(OSError):  # it isn't TCP, or is closed already
        if sock.getsockopt(socket.IPPROTO_TCP, option) == 0:
            milliseconds = min(max(round(1000 * seconds), 1), 2**31 - 1)
            sock.setsockopt(socket.IPPROTO_TCP, option, milliseconds)


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
        r"|^ping_interval recv_events_thread join latency is_alive ping ConnectionClosed debug "
        r"logger ping_timeout wait send_context protocol fail CloseCode INTERNAL_ERROR Exception "
        r"error$"
    ),
    cured=None,
    wrappers={"Connection.start_keepalive": start_keepalive},
)
