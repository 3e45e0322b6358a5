"""
AttributeError in the event loop when TLS through an HTTP proxy fails, on 15.0 to 17.4.

Where the TLS handshake with the server fails behind a proxy, the event loop may tell the connection
that it was lost without having told it that it was made: ``connection_lost()`` asks for what
``connection_made()`` would have created (issue 1629). ``connect()`` raises the real reason all the
same. No release has cured it.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection


def connection_lost(
    wrapped: Callable[..., None], instance: ClientConnection, args: Args, kwargs: Kwargs
) -> None:
    """Do nothing for a connection that was never made: nobody has it, and nothing is pending."""
    if hasattr(instance, "recv_messages"):
        wrapped(*args, **kwargs)


FIX = Fix(
    name="asyncio.lost_before_made",
    issue=1629,
    symptom="AttributeError in the event loop when TLS through an HTTP proxy fails",
    since=(15, 0),
    fixed=None,
    module="websockets.asyncio.client",
    # The second came with proxies: without them, nothing meets the bug.
    examined=("ClientConnection.connection_lost", "HTTPProxyConnection.connection_lost"),
    flawed=r"^protocol receive_eof (state CLOSED )?set_(recv|connection)_exc recv_messages close "
    r"(abort_pings|terminate_pending_pings) keepalive_task cancel connection_lost_waiter "
    r"set_result paused drain_waiters done set_exception$"
    r"|^reader feed_eof (response set_exception|run_parser)$",
    cured=None,
    wrappers={"ClientConnection.connection_lost": connection_lost},
)
