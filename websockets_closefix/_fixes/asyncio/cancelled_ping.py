"""
A pong breaks the connection when the ping that it answers was cancelled, on 13.0 to 14.1.

``wait_for(pong_waiter, …)``, or cancelling a task that awaits it, cancels the future that the pong
is to resolve: InvalidStateError in the event loop, which closes the connection. 14.2 leaves a
future alone that is done (issue 1566, commit 197b3ec2).

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection


def acknowledge_pings(
    wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Acknowledge pings, and have those resolve a future of their own that were cancelled."""
    for ping_id, (waiter, timestamp) in instance.pong_waiters.items():
        if waiter.done():
            instance.pong_waiters[ping_id] = (instance.loop.create_future(), timestamp)
    wrapped(*args, **kwargs)


FIX = Fix(
    name="asyncio.cancelled_ping",
    issue=1566,
    symptom="a pong breaks the connection when the ping that it answers was cancelled",
    since=(13, 0),
    fixed=(14, 2),
    module="websockets.asyncio.connection",
    examined=("Connection.acknowledge_pings",),
    flawed=r"\bappend set_result\b",
    cured=r"\bdone set_result\b",
    wrappers={"Connection.acknowledge_pings": acknowledge_pings},
)
