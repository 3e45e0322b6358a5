"""
websockets 15.0 and 15.0.1: two threads drop the pending pings at once.

The first is held while it goes through them, until the second has dropped them.

"""

from __future__ import annotations

import contextlib
from typing import Any

from ..peers import stay_silent
from ..scenario import Outcome, Scenario
from ..waiting import wait_until
from . import holding
from .ends import opened
from .observing import observe


def close(side: str) -> Outcome:
    """Close while a ping is pending, sent as keepalive does."""
    with opened(side, stay_silent, close_timeout=0.1) as websocket:
        waiter = websocket.ping(ack_on_close=True)
        set_waiter = waiter.set

        def set_and_hold() -> None:
            waiter.set = set_waiter  # the second thread isn't held
            set_waiter()
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: not pending_pings(websocket), holding.HOLD)

        waiter.set = set_and_hold
        return observe(websocket, websocket.close)


def pending_pings(websocket: Any) -> Any:
    """Return the pings without a pong; 16.0 gave them another name."""
    pings = getattr(websocket, "pong_waiters", None)
    return websocket.pending_pings if pings is None else pings


SCENARIOS = (Scenario("sync.pending_ping", "close(), a ping pending", close, RuntimeError),)
