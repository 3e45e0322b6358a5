"""
``connect()`` takes all of ``close_timeout`` when a server refuses and stays, on 11.0 to 13.0.1.

Servers and proxies that answer with 302 or 503 often keep the connection open for another request.
The response is complete, but ``handshake()`` waits until the reader thread has ended, which waits
for the end of TCP. 13.1 closes the socket at once (issues 1592 and 1596, commit 96055073).

Here TCP is shut down when the response is refused, so that the reader thread ends.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from .._fix import Args, Fix, Kwargs
from ._closing import connection_of_this_reader
from ._tcp import shut_down_tcp

if TYPE_CHECKING:
    from websockets.client import ClientProtocol


def process_response(
    wrapped: Callable[..., None], instance: ClientProtocol, args: Args, kwargs: Kwargs
) -> None:
    """Check a response, which has been read to its end; raises what the original raises."""
    try:
        wrapped(*args, **kwargs)
    except Exception:
        connection = connection_of_this_reader(instance)
        if connection is not None:
            shut_down_tcp(connection.socket)
        raise


FIX = Fix(
    name="sync.refused_handshake",
    issue=1592,
    symptom="connect() takes all of close_timeout when the server refuses and keeps TCP open",
    since=(11, 0),
    fixed=(13, 1),
    module="websockets.sync.client",
    examined=("ClientConnection.handshake",),
    flawed=r"\bstate OPEN close_timeout\b",
    cured=None,
    wrappers={"ClientProtocol.process_response": process_response},
)
