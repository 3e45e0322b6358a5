"""
RuntimeError when two threads close at once while a ping is pending, on 15.0 and 15.0.1.

One clears ``pong_waiters`` while the other, or the reader thread with a pong in hand, iterates over
it. 16.0 has the pings acknowledged under ``protocol_mutex`` (issue 1662), and so has the wrapper,
right after the end of the stream; what ``close_socket`` does without it afterwards finds nothing
left to do.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs
from ._mutex import is_free, shut_down

if TYPE_CHECKING:
    from websockets.sync.connection import Connection as AnyConnection

    class Connection(AnyConnection):
        """One of 15.0 or 15.0.1; the types are those of 14.1."""

        pong_waiters: dict[bytes, Any]

        def acknowledge_pending_pings(self) -> None: ...


def close_socket(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Close the connection as 16.0 does; raises what the original raises."""
    # CLOSED is final, and no ping is added once it is reached: where there is none, all is done.
    if instance.protocol.state.name != "CLOSED" or instance.pong_waiters:
        shut_down(instance.socket)
        # Without the mutex this would be what it prevents; the original waits for it to the end.
        if is_free(instance):
            with instance.protocol_mutex:
                instance.protocol.receive_eof()
                instance.acknowledge_pending_pings()
    wrapped(*args, **kwargs)


FIX = Fix(
    name="sync.pending_ping",
    issue=1662,
    symptom="RuntimeError when two threads close at once while a ping is pending",
    since=(15, 0),
    fixed=(16, 0),
    module="websockets.sync.connection",
    examined=("Connection.close_socket",),
    flawed=r"\backnowledge_pending_pings\b",
    cured=r"\bterminate_pending_pings\b",
    wrappers={"Connection.close_socket": close_socket},
)
