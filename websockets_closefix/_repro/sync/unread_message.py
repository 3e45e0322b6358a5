"""websockets 11.0 and 11.0.1: the reader thread waits for good until a message is fetched."""

from __future__ import annotations

from websockets.exceptions import ConnectionClosedError

from ..observing import Hangs, Outcome
from ..scenario import Scenario
from ._unread import close_unread, send_unread


def close(side: str) -> Outcome:
    """Close while a message is unread."""
    return close_unread(side, count=1)


def send(side: str) -> Outcome:
    """Send after a reset, while a message is unread."""
    return send_unread(side, count=1)


SCENARIOS = (
    Scenario("sync.unread_message", "close(), a message unread", close, Hangs),
    Scenario(
        "sync.unread_message",
        "send() after a reset, a message unread",
        send,
        Hangs,
        ConnectionClosedError,
        # A reader thread that isn't stuck may be the first to meet the reset, and only the newest
        # releases tell send() of it.
        (BrokenPipeError, ConnectionResetError, type(None)),
    ),
)
