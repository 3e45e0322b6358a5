"""
``connect()`` raises EOFError or ValueError when the peer goes in the handshake, on 13.1 to 14.1.

It raises what the parser of the response raised, which nobody catches who goes by the
documentation: a program that retries on InvalidHandshake dies of the server's restart. 14.2 raises
InvalidMessage from it, which is an InvalidHandshake (commit 59d4dcf7). Before that, InvalidMessage
was in ``websockets.legacy``, whose import warns of deprecation: InvalidHandshake is raised here.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection


def handshake(
    wrapped: Callable[..., None], instance: ClientConnection, args: Args, kwargs: Kwargs
) -> None:
    """
    Perform the opening handshake.

    Raises:
        InvalidHandshake: In the place of what the parser raised, which is its cause.

    """
    try:
        wrapped(*args, **kwargs)
    except Exception as exc:
        # The class that this connection's protocol raises where it refuses a response.
        InvalidHandshake: Any = type(instance.protocol).parse.__globals__["InvalidHandshake"]
        if exc is not instance.protocol.handshake_exc or isinstance(exc, InvalidHandshake):
            raise
        invalid = InvalidHandshake("did not receive a valid HTTP response")
        instance.protocol.handshake_exc = invalid
        raise invalid from exc


FIX = Fix(
    name="sync.handshake_errors",
    issue=None,
    symptom="connect() raises EOFError or ValueError when the peer goes in the handshake",
    since=(13, 1),
    fixed=(14, 2),
    module="websockets.sync.client",
    examined=("ClientProtocol.parse",),
    flawed=r"\bException handshake_exc send_eof\b",
    cured=r"\bInvalidMessage\b",
    wrappers={"ClientConnection.handshake": handshake},
)
