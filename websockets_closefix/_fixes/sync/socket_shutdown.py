"""
``connect()``, ``close()`` and ``recv()`` hang over TLS on 17.3 and 17.4.

The reader thread waits in ``select()`` there, and ``close_socket`` only notifies it, then closes
the socket. But a thread that is inside ``SSLSocket.recv()``, because less than a whole record has
come, isn't woken by either. ``connect()`` hangs in spite of ``open_timeout`` when the server
completes the TLS 1.3 handshake, whose session tickets are records without data, and never answers;
a server keeps a thread for each client that stops half-way. And when the descriptor is reused, that
thread reads what belongs to another connection.

17.2, and every release before it, shuts the socket down before closing it.

"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Callable

from .._fix import Args, Fix, Kwargs
from ._tcp import shut_down_tcp

if TYPE_CHECKING:
    from websockets.sync.connection import Connection


def close_socket(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """
    Shut the socket down, then close it, as 17.2 does.

    The reader thread itself, which closes it when TCP has ended, has nobody to wake.

    """
    if threading.current_thread() is not instance.recv_events_thread:
        shut_down_tcp(instance.socket)
    wrapped(*args, **kwargs)


FIX = Fix(
    name="sync.socket_shutdown",
    issue=None,
    symptom="connect(), close() and recv() hang over TLS when less than a record has come",
    since=(17, 3),
    fixed=None,
    module="websockets.sync.connection",
    examined=("Connection.close_socket",),
    # The socket is closed, and nothing else is done to it.
    flawed=r"\bshutdown_notifier send OSError close socket protocol_mutex protocol receive_eof\b",
    cured=r"\bSHUT_RDWR\b",
    wrappers={"Connection.close_socket": close_socket},
)
