"""
Tells the state of a connection, and ends it, in bounded time.

Nothing here waits for ``Connection.close()``, which hangs on 14.0 and 14.1 while messages are
unread, and on every release while another thread is blocked in ``send()``. Nor does a borrower wait
for a lock of a connection: a signal handler that raises in ``send()`` or ``recv()`` may leave it
locked for good.

"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from typing import Any, Callable

from websockets.exceptions import ConcurrencyError, WebSocketException
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.sync.connection import Connection

# Seconds.
POLL_INTERVAL = 0.01  # at most, where nothing can be waited for
SEND_TIMEOUT = 0.1  # for sending a close frame


def is_open(websocket: Connection) -> bool:
    """Tell whether a connection is open, as far as its reader thread knows."""
    return websocket.protocol.state is State.OPEN


def has_ended(websocket: Connection) -> bool:
    """Tell whether a connection has ended."""
    # Its thread isn't joined, as websockets does in recv() and close(): up to 3.12, and often on
    # PyPy, two threads that join a third as it ends get AssertionError and RuntimeError.
    return websocket.protocol.state is State.CLOSED


def is_at_rest(websocket: Connection) -> bool:
    """Tell whether nothing is unread, and no call is running or was interrupted."""
    messages: Any = websocket.recv_messages
    unread = messages.chunks if hasattr(messages, "chunks") else messages.frames.qsize()
    return not (unread or messages.get_in_progress or websocket.send_in_progress)


def is_reading(websocket: Connection) -> bool:
    """Tell whether the reader thread reads; unread messages keep it from a pong behind them."""
    messages: Any = websocket.recv_messages
    return not (getattr(messages, "put_in_progress", False) or getattr(messages, "paused", False))


def wait_until(condition: Callable[[], object], timeout: float) -> bool:
    """Poll a condition until it's met or the timeout has elapsed, and return whether it's met."""
    deadline = time.monotonic() + timeout
    interval = POLL_INTERVAL / 100
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)
        interval = min(2 * interval, POLL_INTERVAL)
    return True


def in_background(function: Callable[..., object], *args: Any) -> bool:
    """Call a function in a daemon thread, drop what it raises; return whether there's a thread."""

    def call() -> None:
        with contextlib.suppress(Exception):
            function(*args)

    if sys.is_finalizing():  # up to 3.11, start() waits for ever then
        return False
    try:
        threading.Thread(target=call, name=function.__name__, daemon=True).start()
    except RuntimeError:  # there are too many; from 3.12 on, also when atexit's functions run
        return False
    return True


def send_close_frame(
    websocket: Connection, send: Callable[..., None], code: CloseCode, reason: str = ""
) -> bool:
    """
    Send a close frame with ``send``, unless there was one, and return whether it was sent.

    In a thread of its own: a signal handler that raises would leave the mutex locked.

    """
    with contextlib.suppress(OSError):  # the connection is broken
        websocket.socket.settimeout(SEND_TIMEOUT)  # for other threads that send, too
        if websocket.protocol_mutex.acquire(timeout=SEND_TIMEOUT):
            try:
                if is_open(websocket):
                    send(code, reason)
                    websocket.send_data()
                    websocket.socket.settimeout(None)  # for the reader thread, which waits
                    return True
            finally:
                websocket.protocol_mutex.release()
    return False


def shut_down(sock: socket.socket) -> None:
    """Shut the socket down, which wakes all threads blocked on it; the reader thread closes it."""
    with contextlib.suppress(OSError):  # it is closed already
        sock.shutdown(socket.SHUT_RDWR)
    if sys.platform == "win32":  # where closing it wakes them, as in close_socket()
        sock.close()


def close(websocket: Connection, timeout: float, given_up: list[Connection]) -> None:
    """Send a close frame, and drop what is unread: behind it, the peer's close frame isn't read."""
    deadline = time.monotonic() + timeout
    if not send_close_frame(websocket, websocket.protocol.send_close, CloseCode.NORMAL_CLOSURE):
        shut_down(websocket.socket)
        given_up.append(websocket)
    while (remaining := deadline - time.monotonic()) > 0:
        try:
            websocket.recv_messages.get(remaining)
        except (EOFError, TimeoutError):
            break
        except ConcurrencyError:  # with a recv() that was interrupted
            if not is_reading(websocket):
                websocket.recv_messages.close()
            time.sleep(POLL_INTERVAL)
        except (UnicodeDecodeError, WebSocketException):
            pass
