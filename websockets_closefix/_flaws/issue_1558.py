"""
websockets 13.1, 14.0 and 14.1: two threads that close at once drive one parser.

``close_socket`` calls ``protocol.receive_eof()`` without taking ``protocol_mutex``. The wrapper

1. prevents: it calls ``receive_eof()`` itself, under the mutex, as 14.2 does (commit e7a098e1);
2. repairs what the first layer couldn't prevent, so that the connection ends closed and the
   application gets :exc:`~websockets.exceptions.ConnectionClosed`.

"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._ended import force_closed, has_caller, is_closed, report
from ._mutex import hang_up, mutex_of

# Nothing of websockets is imported: after a purge of sys.modules there is more than one copy of
# it, and each connection brings the classes of its own.
if TYPE_CHECKING:
    from websockets.sync.connection import Connection

RACE_ERRORS = (AssertionError, EOFError, StopIteration, ValueError)
"""
What two threads driving one parser can raise.

A state that isn't CLOSED yet, a stream that the other thread has ended, a parser that has
finished or died, and "generator already executing".

"""


def close_socket(
    wrapped: Callable[..., None],
    instance: Connection,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """
    Close the connection as websockets 14.2 does, and repair what cannot be closed like that.

    Raises:
        ConnectionClosed: If closing had to be repaired, unless nobody is there to catch it (the
            reader thread) or something better is about to be raised (the connection never
            opened).

    """
    caught = None
    was_open = True
    # The second thread to get here needs no prevention: CLOSED is final, and the parser, which
    # only comes to it at the end of the stream, isn't going to be driven any more.
    if instance.protocol.state.name != "CLOSED":
        hang_up(instance.socket)
        with mutex_of(instance):
            was_open = instance.protocol.state.name != "CONNECTING"
            try:
                instance.protocol.receive_eof()
            except RACE_ERRORS as exc:
                caught = exc
    try:
        # It finds receive_eof() called already, which is all that it needed the mutex for.
        wrapped(*args, **kwargs)
    except RACE_ERRORS as exc:
        caught = caught or exc
    if caught is None and is_closed(instance):
        return
    with mutex_of(instance):
        force_closed(instance)
        terminate_pending_pings(instance)
    report(instance, "close_socket(), which left it half closed (websockets issue 1558)", caught)
    if was_open and has_caller(instance):
        raise_connection_closed(instance, caught)


def terminate_pending_pings(connection: Connection) -> None:
    """Set the events of pings with ``ack_on_close``, of 15.0; a backport may have them."""
    terminate = getattr(connection, "terminate_pending_pings", None)
    if terminate is not None:
        terminate()


def raise_connection_closed(connection: Connection, caught: Exception | None) -> None:
    """Raise ``ConnectionClosed`` from what ended the connection, as far as that is known."""
    exc = connection.protocol.close_exc
    raise exc from (network_error(connection) or caught or exc.__cause__)


def network_error(connection: Connection) -> BaseException | None:
    """
    Return the error that made a thread give the connection up, if it left a trace.

    The reader thread keeps it in ``recv_exc``, but ``send_context()`` in a local variable, for
    the ``ConnectionClosed`` that it raises itself as soon as ``close_socket()`` returns.

    """
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "send_context" and frame.f_locals.get("self") is connection:
            original_exc: BaseException | None = frame.f_locals.get("original_exc")
            return original_exc or connection.recv_exc
        frame = frame.f_back  # type: ignore[assignment]
    return connection.recv_exc
