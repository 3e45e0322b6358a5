"""websockets 13.1 to 14.1: ``connect()`` raises what the parser of the response raised."""

from __future__ import annotations

from websockets import exceptions

from ..scenario import Outcome, Scenario
from ._connecting import connect_in_vain, server_that_answers

GARBAGE = b"220 mail.example ESMTP\r\n"


def connect_to_nobody(_: str) -> Outcome:
    """Connect to a server that goes without an answer."""
    return connect_to(b"")


def connect_to_another(_: str) -> Outcome:
    """Connect to a server of another protocol."""
    return connect_to(GARBAGE)


def connect_to(response: bytes) -> Outcome:
    """Connect to a server that gives such an answer and goes."""
    with server_that_answers(response, then_leave=True) as uri:
        return connect_in_vain(uri)


# In the releases that have the bug, it is one of websockets.legacy, imported when it is asked for.
INVALID_MESSAGE = vars(exceptions).get("InvalidMessage", exceptions.InvalidHandshake)

SCENARIOS = (
    Scenario(
        "sync.handshake_errors",
        "connect(), the server goes without an answer",
        connect_to_nobody,
        EOFError,
        INVALID_MESSAGE,
        (EOFError,),
        sides=("client",),
    ),
    Scenario(
        "sync.handshake_errors",
        "connect(), the server speaks another protocol",
        connect_to_another,
        ValueError,
        INVALID_MESSAGE,
        (ValueError,),
        sides=("client",),
    ),
)
