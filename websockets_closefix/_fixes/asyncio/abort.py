"""
``close()`` and keepalive hang when there are data unsent, or over TLS, on 13.0 to 14.1.

When ``close_timeout`` has elapsed the transport is closed, which waits for a peer that has stalled
to take what is left, and over TLS for its answer. And the queue of messages is closed before the
connection is: what arrives afterwards is a "Fatal error" in the event loop's log, and on 13.0
``recv()`` raises AssertionError. 14.2 aborts the transport and leaves the queue to
``connection_lost()`` (issues 1555, 1527, 1563, commit 613f3f0e). So does this.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection


def close_transport(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Abort the transport; the original isn't called."""
    instance.transport.abort()


FIX = Fix(
    name="asyncio.abort",
    issue=1555,
    symptom="close() and keepalive hang when there are data unsent, or over TLS",
    since=(13, 0),
    fixed=(14, 2),
    module="websockets.asyncio.connection",
    examined=("Connection.send_context",),
    flawed=r"\bclose_transport\b",
    cured=r"\babort\b",
    wrappers={"Connection.close_transport": close_transport},
)
