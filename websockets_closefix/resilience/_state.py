"""Tells how a connection is, without waiting for other threads."""

from __future__ import annotations

import selectors
import time
from typing import Any, Callable

from websockets.sync.connection import Connection

POLL_INTERVAL = 0.01
"""Seconds between two looks at what nobody tells of."""


def is_open(websocket: Connection) -> bool:
    """Tell whether a connection is open, as far as its reader thread knows."""
    return websocket.protocol.state.name == "OPEN"


def has_ended(websocket: Connection, timeout: float = 0) -> bool:
    """Tell whether the reader thread has ended, or does so before the timeout has elapsed."""
    try:
        websocket.recv_events_thread.join(timeout)
        return not websocket.recv_events_thread.is_alive()
    except AssertionError:  # Python's own, up to 3.12, if another thread joins it at that moment
        return True


def is_quiet(websocket: Connection) -> bool:
    """Tell whether nothing is unread, and no call is under way or was interrupted in the middle."""
    messages: Any = websocket.recv_messages
    unread = messages.chunks if hasattr(messages, "chunks") else messages.frames.qsize()
    under_way = messages.get_in_progress or websocket.send_in_progress
    return not (unread or under_way or websocket.protocol_mutex.locked())


def is_reading(websocket: Connection) -> bool:
    """Tell whether the reader thread reads; unread messages keep it from a pong behind them."""
    messages: Any = websocket.recv_messages
    return not (getattr(messages, "put_in_progress", False) or getattr(messages, "paused", False))


def can_send(websocket: Connection) -> bool:
    """Tell whether a few bytes could be sent without waiting for another thread or the peer."""
    if websocket.protocol_mutex.locked():
        return False
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(websocket.socket, selectors.EVENT_WRITE)
        except (OSError, ValueError):
            return True  # it is closed, which sending will tell
        return bool(selector.select(0))


def answers_ping(websocket: Connection, timeout: float) -> bool:
    """Tell whether the peer is there, as far as can be told in time."""
    deadline = time.monotonic() + timeout
    if not wait_until(lambda: can_send(websocket), timeout):
        return False
    try:
        return websocket.ping().wait(deadline - time.monotonic())
    except Exception:  # ConnectionClosed; without the shim, the close race as well
        return False


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Look whether the condition is met until it is or the timeout has elapsed; return whether."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_INTERVAL)
    return True
