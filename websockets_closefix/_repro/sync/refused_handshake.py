"""websockets 11.0 to 13.0.1: ``connect()`` waits for a server that has refused to leave."""

from __future__ import annotations

from websockets.exceptions import InvalidStatus

from ..scenario import Hangs, Outcome, Scenario
from ..waiting import PATIENCE
from ._connecting import connect_in_vain, server_that_answers

UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nsorry"
)
FOUND = UNAVAILABLE.replace(
    b"503 Service Unavailable\r\n", b"302 Found\r\nLocation: wss://[::1]\r\n"
)


def connect_unavailable(_: str) -> Outcome:
    """Connect to a server that answers with 503 and keeps TCP open."""
    return connect_refused(UNAVAILABLE)


def connect_redirected(_: str) -> Outcome:
    """Connect to a server that answers with 302 and keeps TCP open."""
    return connect_refused(FOUND)


def connect_refused(response: bytes) -> Outcome:
    """Connect to a server that gives such an answer and keeps TCP open."""
    with server_that_answers(response, then_leave=False) as uri:
        return connect_in_vain(uri, close_timeout=2 * PATIENCE)


SCENARIOS = (
    Scenario(
        "sync.refused_handshake",
        "connect(), refused with 503, TCP stays open",
        connect_unavailable,
        Hangs,
        InvalidStatus,
        (type(None),),
        sides=("client",),
    ),
)
