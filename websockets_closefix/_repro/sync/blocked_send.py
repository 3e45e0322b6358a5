"""Every release: a thread that is blocked in ``send()`` keeps another from closing."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from websockets.exceptions import ConnectionClosedError

from ..scenario import Hangs, Outcome, Scenario
from ..waiting import PATIENCE, wait_until
from .ends import opened
from .observing import observe

LARGE = bytes(16 * 2**20)
"""A message that doesn't fit into the buffers of two sockets."""


def close(side: str) -> Outcome:
    """Close while another thread sends to a peer that takes nothing."""
    done = threading.Event()

    def take_nothing(_: socket.socket) -> None:
        done.wait(PATIENCE)

    def close_when_blocked() -> None:
        wait_until(lambda: is_blocked(websocket))
        websocket.close()

    with opened(side, take_nothing, compression=None, close_timeout=0.2) as websocket:
        outcome = observe(websocket, lambda: websocket.send(LARGE), close_when_blocked)
        done.set()
        return outcome


def is_blocked(websocket: Any) -> bool:
    """Tell whether a thread has held the mutex for a tenth of a second."""
    for _ in range(20):
        if not websocket.protocol_mutex.locked():
            return False
        time.sleep(0.005)
    return True


SCENARIOS = (
    Scenario(
        "sync.blocked_send",
        "close(), another thread is blocked in send()",
        close,
        Hangs,
        ConnectionClosedError,
        (BrokenPipeError, ConnectionResetError),
    ),
)
