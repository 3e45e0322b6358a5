"""
websockets 15.0 and 15.0.1: two threads that close at once drop the pending pings.

One clears ``pong_waiters`` while the other, or the reader thread with a pong in hand, iterates over
it. As 16.0 does, the wrapper has the pings acknowledged under ``protocol_mutex``, right after the
end of the stream; what ``close_socket`` does without it afterwards finds nothing left to do.

"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._mutex import hang_up, mutex_of

if TYPE_CHECKING:
    from websockets.sync.connection import Connection as AnyConnection

    class Connection(AnyConnection):
        """One of 15.0 or 15.0.1; the types are those of 14.1."""

        pong_waiters: dict[bytes, Any]

        def acknowledge_pending_pings(self) -> None: ...


def close_socket(
    wrapped: Callable[..., None],
    instance: Connection,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Close the connection as websockets 16.0 does; raises what the original raises."""
    # CLOSED is final, and no ping is added once it is reached: whoever finds none is done.
    if instance.protocol.state.name != "CLOSED" or instance.pong_waiters:
        hang_up(instance.socket)
        with mutex_of(instance):
            instance.protocol.receive_eof()
            instance.acknowledge_pending_pings()
    wrapped(*args, **kwargs)
