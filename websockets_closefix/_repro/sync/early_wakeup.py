"""
websockets 11.0 to 13.0.1: ``recv()`` is woken before the connection is CLOSED.

The reader thread is held where it learns that the stream has ended, until ``recv()`` has met that.

"""

from __future__ import annotations

import functools
import threading
from typing import Any, Callable

from websockets.exceptions import ConnectionClosedError

from ..peers import stay_silent
from ..scenario import Outcome, Scenario
from ..waiting import wait_until
from .ends import opened
from .observing import observe


def close_while(side: str, receive: Callable[[Any], object]) -> Outcome:
    """Close a connection that another thread receives from."""
    received = threading.Event()

    def receive_until_closed() -> None:
        try:
            receive(websocket)
        finally:
            received.set()

    def close() -> None:
        wait_until(lambda: websocket.recv_messages.get_in_progress)
        websocket.socket.recv_waits_for = received
        websocket.close()

    with opened(side, stay_silent, close_timeout=0.1) as websocket:
        return observe(websocket, receive_until_closed, close)


recv, recv_streaming, iterate = (
    functools.partial(close_while, receive=receive)
    for receive in (lambda ws: ws.recv(), lambda ws: list(ws.recv_streaming()), list)
)
ways = {"recv()": recv, "recv_streaming()": recv_streaming, "iteration": iterate}

SCENARIOS = tuple(
    Scenario(
        "sync.early_wakeup",
        f"{name}, another thread closes",
        end_connection,
        AssertionError,
        ConnectionClosedError,
        (TimeoutError,),
    )
    for name, end_connection in ways.items()
)
