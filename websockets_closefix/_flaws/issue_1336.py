"""
websockets 11.0 and 11.0.1: closing hangs while a message is unread.

The reader thread waits until somebody fetches the message, and nobody tells it that the socket was
closed. As 11.0.2 does (commit c38507fd), ``close_socket`` closes the queue of messages, which wakes
the reader thread with :exc:`EOFError`.

"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from websockets.sync.connection import Connection


def close_socket(
    wrapped: Callable[..., None],
    instance: Connection,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Close the socket, then the queue; in this order, so that the reader thread finds both."""
    wrapped(*args, **kwargs)
    instance.recv_messages.close()


def process_event(
    wrapped: Callable[..., None],
    instance: Connection,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """
    Drop a message that nobody will fetch; in the reader thread.

    11.0.2 leaves the loop here. This one ends when the reader thread turns to the closed socket.

    """
    try:
        wrapped(*args, **kwargs)
    except EOFError:
        if not instance.recv_messages.closed:
            raise
