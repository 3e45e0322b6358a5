"""
Closing hangs for ever while a message is unread, on 11.0 and 11.0.1.

The reader thread waits until the message is fetched, and isn't told that the socket was closed. As
11.0.2 does (issue 1336, commit c38507fd), ``close_socket`` closes the queue of messages, which
wakes the reader thread with :exc:`EOFError`.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.sync.connection import Connection


def close_socket(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Close the socket, then the queue; in this order, so that the reader thread finds both."""
    wrapped(*args, **kwargs)
    instance.recv_messages.close()


def process_event(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """
    Drop a message that can't be fetched any more; in the reader thread.

    11.0.2 leaves the loop here. This one ends when the reader thread turns to the closed socket.

    """
    try:
        wrapped(*args, **kwargs)
    except EOFError:
        if not instance.recv_messages.closed:
            raise


FIX = Fix(
    name="sync.unread_message",
    issue=1336,
    symptom="close() and send() hang for ever while a message is unread",
    since=(11, 0),
    fixed=(11, 0, 2),
    module="websockets.sync.connection",
    examined=("Connection.close_socket",),
    flawed=r"\bshutdown\b",
    cured=r"\brecv_messages\b",
    wrappers={
        "Connection.close_socket": close_socket,
        "Connection.process_event": process_event,
    },
)
