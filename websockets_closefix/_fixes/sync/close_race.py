"""
AssertionError, ValueError or EOFError when two threads close at once, on 13.1, 14.0 and 14.1.

``close_socket`` calls ``protocol.receive_eof()`` without taking ``protocol_mutex``, so that two
threads drive one parser: the one whose ``send()`` or ``close()`` failed, and the reader thread.
14.2 takes the mutex (issue 1558, commit e7a098e1). The wrapper

1. prevents: it calls ``receive_eof()`` itself, under the mutex, as 14.2 does;
2. repairs where the mutex can't be had or the parser is dead: the connection ends CLOSED, and
   websockets' own code, to which this returns, raises ``ConnectionClosed`` with its real cause.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs
from ._ended import force_closed, is_closed, report
from ._mutex import mutex_of, shut_down

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
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Close the connection as 14.2 does, and repair what can't be closed like that."""
    caught = None
    # The second thread to get here needs no prevention: CLOSED is final, and the parser, which
    # only comes to it at the end of the stream, isn't going to be driven any more.
    if instance.protocol.state.name != "CLOSED":
        shut_down(instance.socket)
        with mutex_of(instance):
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


def terminate_pending_pings(connection: Connection) -> None:
    """Set the events of pings with ``ack_on_close``, of 15.0; a backport may have them."""
    terminate: Any = getattr(connection, "terminate_pending_pings", None)
    if terminate is not None:
        terminate()


FIX = Fix(
    name="sync.close_race",
    issue=1558,
    symptom="AssertionError, ValueError or EOFError when two threads close at once",
    since=(13, 1),
    fixed=(14, 2),
    module="websockets.sync.connection",
    examined=("Connection.close_socket",),
    flawed=r"\breceive_eof\b",
    cured=r"\bprotocol_mutex\b",
    wrappers={"Connection.close_socket": close_socket},
)
