"""Ends connections as programs do, and leaves the rest to chance."""

from __future__ import annotations

import contextlib
import inspect
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

from .ends import open_connection, opened
from .observing import PATIENCE, Outcome, is_unread, observe, wait_until
from .peers import messages, reset, stay_silent

SHORT = 0.005
"""Seconds for ``close_timeout``: as likely as can be that two threads close at once."""

UNREAD = 400
"""Messages that nobody reads; more than any release's queue holds."""


def close_while_receiving(side: str) -> Outcome:
    """Close while another thread waits for a message."""
    with opened(side, stay_silent, close_timeout=SHORT) as websocket, frequent_switches():
        receiving = threading.Event()

        def receive() -> None:
            receiving.set()
            websocket.recv()

        def close() -> None:
            receiving.wait(PATIENCE)
            websocket.close()

        return observe(websocket, receive, close)


def close_with_pending_ping(side: str) -> Outcome:
    """Close while a ping is pending, as one of keepalive's always is on a dead network."""
    with opened(side, stay_silent, close_timeout=SHORT) as websocket:
        ping(websocket)
        with frequent_switches():
            return observe(websocket, websocket.close)


def close_with_unread_messages(side: str) -> Outcome:
    """Close a stream of messages that nobody reads to its end."""

    def flood(sock: socket.socket) -> None:
        sock.sendall(messages(UNREAD, mask=side == "server"))
        stay_silent(sock)

    with opened(side, flood, close_timeout=SHORT) as websocket:
        wait_until(lambda: is_unread(websocket, UNREAD))
        with frequent_switches():
            return observe(websocket, websocket.close)


def close_twice(side: str) -> Outcome:
    """Close in two threads at once."""
    with opened(side, stay_silent, close_timeout=SHORT) as websocket, frequent_switches():

        def close() -> None:
            try:
                websocket.close()
            except (AssertionError, RuntimeError) as exc:
                if not is_raised_by_threading(exc):
                    raise

        return observe(websocket, close, close)


def send_until_reset(side: str) -> Outcome:
    """Keep sending to a peer that resets the connection."""
    with opened(side, reset) as websocket, frequent_switches():
        return observe(websocket, lambda: keep_sending(websocket))


def is_raised_by_threading(exc: BaseException) -> bool:
    """
    Tell whether it is Python that failed, not websockets.

    Up to 3.12, where two threads join a third, ``join()`` may raise "release unlocked lock", once
    in some ten thousand times. Whichever release of websockets it is, ``close()`` joins the reader
    thread.

    """
    innermost = [frame for frame, _ in traceback.walk_tb(exc.__traceback__)][-1]
    return innermost.f_code.co_filename == threading.__file__


def ping(websocket: Any) -> Any:
    """Send a ping as keepalive does: from 15.0 on, it is acknowledged when the connection ends."""
    parameters = inspect.signature(websocket.ping).parameters
    return websocket.ping(**({"ack_on_close": True} if "ack_on_close" in parameters else {}))


@contextlib.contextmanager
def frequent_switches() -> Iterator[None]:
    """Switch threads as often as can be; in production it takes more closes to meet a race."""
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-7)
    try:
        yield
    finally:
        sys.setswitchinterval(switch_interval)


def keep_sending(websocket: Any) -> None:
    """Send for as long as the peer is there, but no longer than PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        websocket.send("anybody there?")


def send_until_closed(uri: str) -> Outcome:
    """Keep sending to a peer that is there already."""
    websocket = open_connection(uri)
    return observe(websocket, lambda: keep_sending(websocket))


def close(uri: str, close_timeout: float) -> Outcome:
    """Close a connection to it, giving it ``close_timeout`` seconds to answer."""
    websocket = open_connection(uri, close_timeout=close_timeout)
    return observe(websocket, websocket.close)
