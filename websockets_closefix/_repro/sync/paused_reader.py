"""websockets 14.0 and 14.1: the reader thread stays paused while ``max_queue`` is exceeded."""

from __future__ import annotations

from websockets.exceptions import ConnectionClosedError

from ..observing import Hangs, Outcome
from ..scenario import Scenario
from ._unread import close_unread, send_unread

MORE_THAN_MAX_QUEUE = 400


def close(side: str) -> Outcome:
    """Close while more than ``max_queue`` messages are unread."""
    return close_unread(side, MORE_THAN_MAX_QUEUE)


def send(side: str) -> Outcome:
    """Send after a reset, while more than ``max_queue`` messages are unread."""
    return send_unread(side, MORE_THAN_MAX_QUEUE)


SCENARIOS = (
    Scenario("sync.paused_reader", "close(), max_queue exceeded", close, Hangs),
    Scenario(
        "sync.paused_reader",
        "send() after a reset, max_queue exceeded",
        send,
        Hangs,
        ConnectionClosedError,
        (BrokenPipeError, ConnectionResetError),
    ),
)
