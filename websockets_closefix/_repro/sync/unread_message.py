"""websockets 11.0 and 11.0.1: the reader thread waits for good until a message is fetched."""

from __future__ import annotations

from ..observing import Outcome
from ._unread import close_unread, send_unread


def close(side: str) -> Outcome:
    """Close while a message is unread."""
    return close_unread(side, count=1)


def send(side: str) -> Outcome:
    """Send after a reset, while a message is unread."""
    return send_unread(side, count=1)
