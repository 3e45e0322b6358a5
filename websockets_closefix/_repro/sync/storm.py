"""
A storm: many connections that the peer resets while each is used by three threads.

Nothing is held and nothing is forced, so whether a bug shows is left to chance; on Linux, that of
the close race (1558) shows in a connection out of twenty.

"""

from __future__ import annotations

import contextlib
import random
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..ends import keep_sending, opened
from ..observing import Outcome, observe
from ..peers import messages, reset_on_close

CONNECTIONS = 300
AT_A_TIME = 8
"""Connections that are open at the same time; with one at a time it takes longer, with many less
comes out."""

TIME_LIMIT = 10.0
"""Seconds after which no more connections are opened."""


def storm() -> list[Outcome]:
    """Have connections reset by the peer while two threads send and one receives."""
    deadline = time.monotonic() + TIME_LIMIT
    with frequent_switches(), ThreadPoolExecutor(AT_A_TIME) as pool:
        outcomes = pool.map(lambda _: use_until_reset(deadline), range(CONNECTIONS))
        return [outcome for outcome in outcomes if outcome is not None]


def use_until_reset(deadline: float) -> Outcome | None:
    """Send from two threads and receive in a third, unless the deadline has passed."""
    if time.monotonic() > deadline:
        return None
    with opened("client", stream_then_reset, close_timeout=0.1) as websocket:

        def send() -> None:
            keep_sending(websocket)

        return observe(websocket, lambda: keep_receiving(websocket), send, send)


def keep_receiving(websocket: Any) -> None:
    """Receive until the connection ends."""
    while True:
        websocket.recv()


def stream_then_reset(sock: socket.socket) -> None:
    """Send messages for a while, read nothing, and reset the connection."""
    deadline = time.monotonic() + random.uniform(0.002, 0.02)
    while time.monotonic() < deadline:
        sock.sendall(messages(3, mask=False))
    reset_on_close(sock)


@contextlib.contextmanager
def frequent_switches() -> Iterator[None]:
    """Have Python switch threads so often that a second shows what takes days in production."""
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(switch_interval)
