"""Tells how a connection is, at once or within a bound, whatever other threads are up to."""

from __future__ import annotations

import selectors
import time
from typing import Any, Callable

from websockets.sync.connection import Connection

POLL_INTERVAL = 0.01
"""Seconds between two looks at what nobody tells of, at most."""

YIELD_INTERVAL = 0.0002
"""Seconds that let the reader thread finish with what it has received."""

# These need no descriptor, unlike the default one.
Selector: Any = getattr(selectors, "PollSelector", selectors.SelectSelector)


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
    except RuntimeError:  # this is the reader thread, in which garbage is collected
        return False


def is_quiet(websocket: Connection) -> bool:
    """Tell whether nothing is unread, and no call is under way or was interrupted in the middle."""
    messages: Any = websocket.recv_messages
    unread = messages.chunks if hasattr(messages, "chunks") else messages.frames.qsize()
    return not (unread or messages.get_in_progress or websocket.send_in_progress)


def is_reading(websocket: Connection) -> bool:
    """Tell whether the reader thread reads; unread messages keep it from a pong behind them."""
    messages: Any = websocket.recv_messages
    return not (getattr(messages, "put_in_progress", False) or getattr(messages, "paused", False))


def is_settled(websocket: Connection) -> bool:
    """Tell whether the reader thread has taken in what has arrived, and no call holds the mutex."""
    if is_ready(websocket, selectors.EVENT_READ):
        return False
    time.sleep(YIELD_INTERVAL)
    return is_reading(websocket) and not websocket.protocol_mutex.locked()


def settles(websocket: Connection, timeout: float) -> bool:
    """Wait until it's settled or the timeout has elapsed; return whether it is, and usable."""

    def is_usable() -> bool:
        return is_open(websocket) and is_quiet(websocket)

    return wait_until(lambda: is_settled(websocket) or not is_usable(), timeout) and is_usable()


def is_ready(websocket: Connection, event: int, timeout: float = 0) -> bool:
    """Tell whether the socket is ready, or gets so in time; a closed one is, as using it tells."""
    with Selector() as selector:
        try:
            selector.register(websocket.socket, event)
        except (OSError, ValueError):
            return True
        return bool(selector.select(timeout))


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Look whether the condition is met until it is or the timeout has elapsed; return whether."""
    deadline = time.monotonic() + timeout
    interval = POLL_INTERVAL / 100
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)
        interval = min(2 * interval, POLL_INTERVAL)
    return True
