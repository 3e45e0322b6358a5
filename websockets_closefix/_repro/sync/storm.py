"""
A storm: many connections that the peer resets while each is used by three threads.

Nothing is held, so whether a bug shows is left to chance; on Linux, the close race (1558) shows in
one connection out of twenty.

"""

from __future__ import annotations

import random
import socket
import sys
import time

from ..peers import messages, reset_on_close
from ..scenario import Outcome
from .ends import keep_sending, opened
from .observing import observe

CONNECTIONS = 300
TIME_LIMIT = 10.0  # seconds after which no more connections are opened


def storm() -> list[Outcome]:
    """Have the peer reset connections while two threads send and one receives."""
    outcomes: list[Outcome] = []
    deadline = time.monotonic() + TIME_LIMIT
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that seconds show what takes days in production
    try:
        while len(outcomes) < CONNECTIONS and time.monotonic() < deadline:
            outcomes.append(use_until_reset())
    finally:
        sys.setswitchinterval(switch_interval)
    return outcomes


def use_until_reset() -> Outcome:
    """Send in two threads and receive in a third until the connection ends."""
    with opened("client", stream_then_reset, close_timeout=0.1) as websocket:

        def send() -> None:
            keep_sending(websocket)

        def receive() -> None:
            while True:
                websocket.recv()

        return observe(websocket, receive, send, send)


def stream_then_reset(sock: socket.socket) -> None:
    """Send messages for a few milliseconds, read nothing, and reset the connection."""
    deadline = time.monotonic() + random.uniform(0.001, 0.004)
    while time.monotonic() < deadline:
        sock.sendall(messages(3, mask=False))
    reset_on_close(sock)
