"""
``recv()`` and ``wait_closed()`` hang when the peer sends a close frame and leaves TCP open.

The closing handshake is over, and the deadline for the end of the TCP connection is set, but
nothing watches it unless a task is in ``close()`` or ``send()``. The same after our own close frame
for an invalid one of the peer's (issue 1651). No release has cured it; in ``websockets.sync``, up
to 17.2, ``recv()`` raises ``ConnectionClosed`` from ``TimeoutError`` after ``close_timeout``. So it
does here.

"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Callable

from ..._state import is_wanted
from .._fix import Args, Fix, Kwargs
from ._deadline import CONNECTING, abort, call_unless_lost
from ._discard import call_before_discarding

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection


def connection_made(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Start a connection, and watch the deadline once nothing is received any more."""
    wrapped(*args, **kwargs)
    call_before_discarding(instance, watch_deadline)


def watch_deadline(connection: Connection) -> None:
    """Have a connection aborted after ``close_timeout``, unless that is seen to."""
    # In the opening handshake, connect() and serve() see to it. And where there is a deadline
    # already, close() is waiting for it.
    is_opening = connection.protocol.state == CONNECTING
    if not is_opening and connection.close_deadline is None and is_wanted():
        call_after_timeout(connection, abort_if_read)


def call_after_timeout(connection: Connection, function: Callable[[Connection], object]) -> None:
    """Call a function with a connection after ``close_timeout``, unless it is lost by then."""
    if connection.close_timeout is not None:
        deadline = connection.loop.time() + connection.close_timeout
        call_unless_lost(connection, deadline, function)


def abort_if_read(connection: Connection) -> None:
    """Abort a connection; where reading is paused, its end may be unread: only when it is not."""
    messages = connection.recv_messages
    if not messages.paused:
        abort(connection)
        return
    # A connection that is forgotten with messages unread would be kept if it were held here.
    resume, reference = messages.resume, weakref.ref(connection)

    def resume_until_deadline() -> None:
        resume()
        connection = reference()
        if connection is not None:
            connection.recv_messages.resume = resume
            call_after_timeout(connection, abort)

    messages.resume = resume_until_deadline


FIX = Fix(
    name="asyncio.close_frame",
    issue=1651,
    symptom="recv() and wait_closed() hang when the peer sends a close frame and leaves TCP open",
    since=(13, 0),
    fixed=None,
    module="websockets.asyncio.connection",
    examined=("Connection.data_received",),
    flawed=r"\bclose_expected (close_timeout close_deadline|close_deadline close_timeout) "
    r"loop time process_event$",
    cured=None,
    wrappers={"Connection.connection_made": connection_made},
)
