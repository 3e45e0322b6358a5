"""
websockets 15.0 and 15.0.1: two threads drop the pending pings at once.

The first is held while it goes through them, until the second has dropped them.

"""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

from .. import holding
from ..ends import opened
from ..observing import observe
from ..peers import stay_silent
from ..scenario import Outcome, Scenario
from ..waiting import wait_until


def close(side: str) -> Outcome:
    """Close while a ping is pending."""
    with opened(side, stay_silent, close_timeout=0.1) as websocket:
        waiter = ping(websocket)
        set_waiter = waiter.set

        def set_and_hold() -> None:
            waiter.set = set_waiter  # hold the first thread alone
            set_waiter()
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: not pending_pings(websocket), holding.HOLD)

        waiter.set = set_and_hold
        return observe(websocket, websocket.close)


def ping(websocket: Any) -> Any:
    """Send a ping as keepalive does: from 15.0 on, it is acknowledged when the connection ends."""
    parameters = inspect.signature(websocket.ping).parameters
    return websocket.ping(**({"ack_on_close": True} if "ack_on_close" in parameters else {}))


def pending_pings(websocket: Any) -> Any:
    """Return the pings without a pong; 16.0 gave them another name."""
    pings = getattr(websocket, "pong_waiters", None)
    return websocket.pending_pings if pings is None else pings


SCENARIOS = (Scenario("sync.pending_ping", "close(), a ping pending", close, RuntimeError),)
