"""
websockets 11.0 to 13.0.1: ``recv()`` is woken before the connection is CLOSED.

The reader thread is held where it learns that the stream has ended, until ``recv()`` has met that.

"""

from __future__ import annotations

import threading
from typing import Any, Callable

from websockets.exceptions import ConnectionClosedError

from ..ends import opened
from ..observing import observe
from ..peers import stay_silent
from ..scenario import Outcome, Scenario
from ..waiting import wait_until


def recv(side: str) -> Outcome:
    """Wait in ``recv()`` while another thread closes."""
    return close_while(side, lambda websocket: websocket.recv())


def recv_streaming(side: str) -> Outcome:
    """Wait in ``recv_streaming()`` while another thread closes."""
    return close_while(side, lambda websocket: list(websocket.recv_streaming()))


def iterate(side: str) -> Outcome:
    """Wait for the next message of an iteration while another thread closes."""
    return close_while(side, list)


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


SCENARIOS = tuple(
    Scenario(
        "sync.early_wakeup",
        f"{name}, another thread closes",
        receive,
        AssertionError,
        ConnectionClosedError,
        (TimeoutError,),
    )
    for name, receive in (
        ("recv()", recv),
        ("recv_streaming()", recv_streaming),
        ("iteration", iterate),
    )
)
