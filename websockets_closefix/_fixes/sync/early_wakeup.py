"""
``recv()`` raises AssertionError when another thread closes, on 11.0 to 13.0.1.

It is woken before the connection is CLOSED, then asks for the exception of a connection that isn't
closed yet, which is an assertion. 13.1 has it wait for the reader thread to end first (issue 1449,
commit 36409237). Here that can be done only afterwards: ``recv()`` wakes and asks in one go.

"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable

from ..._state import count_repair
from .._fix import Args, Fix, Kwargs
from ._ended import force_closed

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.connection import Connection as AnyConnection

    class Connection(AnyConnection):
        """One of 11.0 or 12.0 as well; the types are those of 14.1."""

        recv_events_exc: BaseException | None


NOT_CLOSED = "connection isn't closed yet"
"""The assertion's message."""

READER_TIMEOUT = 10.0
"""
Seconds to wait for the reader thread to end.

It is about to: the socket is shut down before ``recv()`` is woken, so that not even a thread which
holds ``protocol_mutex`` in ``sendall()`` is in its way.

"""


def recv(wrapped: Callable[..., Any], instance: Connection, args: Args, kwargs: Kwargs) -> Any:
    """
    Receive a message.

    Raises:
        ConnectionClosed: In the place of the assertion.

    """
    try:
        return wrapped(*args, **kwargs)
    except Exception as exc:
        if not came_too_early(exc, instance):
            raise
    raise connection_closed(instance)


def recv_streaming(
    wrapped: Callable[..., Iterator[Any]], instance: Connection, args: Args, kwargs: Kwargs
) -> Iterator[Any]:
    """Receive a message frame by frame; raises what :func:`recv` raises, while iterating."""
    return receive_frames(wrapped(*args, **kwargs), instance)


def receive_frames(frames: Iterator[Any], instance: Connection) -> Iterator[Any]:
    """Yield the frames of a message."""
    try:
        yield from frames
        return
    except Exception as exc:
        if not came_too_early(exc, instance):
            raise
    raise connection_closed(instance)


def came_too_early(exc: Exception, connection: Connection) -> bool:
    """Tell whether ``recv()`` asked for the exception of a connection that isn't CLOSED yet."""
    if isinstance(exc, AssertionError):
        return str(exc) == NOT_CLOSED
    # python -O strips the assertion; what is raised then is a ConnectionClosed too early.
    return hasattr(exc, "rcvd") and connection.protocol.state.name != "CLOSED"


def connection_closed(connection: Connection) -> ConnectionClosed:
    """Return what ``recv()`` raises once the reader thread has ended, as 13.1 does."""
    if threading.current_thread() is not connection.recv_events_thread:
        connection.recv_events_thread.join(READER_TIMEOUT)
    force_closed(connection)  # it is CLOSED, unless a fork left the reader thread behind
    count_repair()
    # Not a warning: on these releases many an ordinary close ends here.
    connection.logger.debug("websockets-closefix repaired recv() (websockets issue 1449)")
    exc: ConnectionClosed = connection.protocol.close_exc
    up_to_12_0 = hasattr(connection, "recv_events_exc")
    exc.__cause__ = connection.recv_events_exc if up_to_12_0 else connection.recv_exc
    return exc


FIX = Fix(
    name="sync.early_wakeup",
    issue=1449,
    symptom="recv() raises AssertionError when another thread closes",
    since=(11, 0),
    fixed=(13, 1),
    module="websockets.sync.connection",
    examined=("Connection.recv", "Connection.recv_streaming"),
    flawed=r"\bclose_exc\b",
    cured=r"\bjoin\b",
    wrappers={"Connection.recv": recv, "Connection.recv_streaming": recv_streaming},
)
