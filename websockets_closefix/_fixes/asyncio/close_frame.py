"""
``recv()`` and ``wait_closed()`` hang when the peer sends a close frame and leaves TCP open.

The closing handshake is over, and the deadline for the end of the TCP connection is set, but
nothing watches it unless a task is in ``close()`` or ``send()``. The same after our own close frame
for an invalid one of the peer's (issue 1651). No release has cured it; in ``websockets.sync``, up
to 17.2, ``recv()`` raises ``ConnectionClosed`` from ``TimeoutError`` after ``close_timeout``. So it
does here.

"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Callable

from ..._state import is_wanted
from .._fix import Args, Fix, Kwargs
from ._deadline import abort_after_close_timeout

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection


def connection_made(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """
    Watch the deadline from when the protocol discards what the peer sends.

    It turns to that once for each connection: when a close frame has come, after our own close
    frame for an error, or at the end of the stream.

    """
    wrapped(*args, **kwargs)
    discard = instance.protocol.discard

    def discard_until_deadline() -> Generator[None, None, None]:
        # In the opening handshake, connect() and serve() see to it.
        if is_wanted() and instance.protocol.state.name != "CONNECTING":
            abort_after_close_timeout(instance, if_read=True)
        del instance.protocol.discard
        return discard()

    # On this connection alone, and off the path of its messages.
    instance.protocol.discard = discard_until_deadline  # type: ignore[method-assign]


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
