"""websockets 15.0 and later: the ping of keepalive waits for a ``send()`` that is blocked."""

from __future__ import annotations

import socket
import threading

from websockets.exceptions import ConnectionClosedError

from ..scenario import Hangs, Outcome, Scenario
from ..waiting import PATIENCE
from .blocked_send import LARGE
from .ends import opened
from .observing import observe


def send(side: str) -> Outcome:
    """Send to a peer that takes nothing any more, while another thread receives."""
    done = threading.Event()

    def take_nothing(_: socket.socket) -> None:
        done.wait(PATIENCE)

    kwargs = {"compression": None, "ping_interval": 0.1, "ping_timeout": 0.1, "close_timeout": 0.1}
    with opened(side, take_nothing, **kwargs) as websocket:
        outcome = observe(websocket, lambda: websocket.send(LARGE), websocket.recv)
        done.set()
        return outcome


SENDING = Scenario(
    "sync.blocked_keepalive",
    "send() and recv(), the peer takes nothing",
    send,
    Hangs,
    ConnectionClosedError,
    # The kernel tells one of the two threads that it has timed out.
    (TimeoutError, BrokenPipeError),
)

# Without that option, which Linux has, the fix can do nothing.
SCENARIOS = (SENDING,) if hasattr(socket, "TCP_USER_TIMEOUT") else ()
