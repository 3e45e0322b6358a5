"""
Tells the state of a connection, and ends it, in bounded time.

Nothing here waits for ``Connection.close()``: on 14.0 and 14.1 that hangs while messages are
unread, and on every release while another thread is blocked in ``send()``. Nor for any lock of a
connection: one that a signal handler has interrupted in ``send()`` or ``recv()`` may have left them
locked for good.

"""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Callable

from websockets.exceptions import ConcurrencyError, WebSocketException
from websockets.frames import CloseCode
from websockets.sync.connection import Connection

POLL_INTERVAL = 0.01
"""Maximum polling interval in seconds, where nothing can be waited for."""

SEND_TIMEOUT = 0.1
"""Seconds for sending a close frame."""

# These need no descriptor, unlike the default one.
Selector: Any = getattr(selectors, "PollSelector", selectors.SelectSelector)


def is_open(websocket: Connection) -> bool:
    """Tell whether a connection is open, as far as its reader thread knows."""
    return websocket.protocol.state.name == "OPEN"


def is_at_rest(websocket: Connection) -> bool:
    """Tell whether nothing is unread, and no call is running or was interrupted."""
    messages: Any = websocket.recv_messages
    unread = messages.chunks if hasattr(messages, "chunks") else messages.frames.qsize()
    return not (unread or messages.get_in_progress or websocket.send_in_progress)


def is_reading(websocket: Connection) -> bool:
    """Tell whether the reader thread reads; unread messages keep it from a pong behind them."""
    messages: Any = websocket.recv_messages
    return not (getattr(messages, "put_in_progress", False) or getattr(messages, "paused", False))


def is_ready(websocket: Connection, event: int, timeout: float = 0) -> bool:
    """Wait until the socket is ready for an event, or closed, and return whether it is."""
    with Selector() as selector:
        try:
            selector.register(websocket.socket, event)
        except (OSError, ValueError):
            return True
        return bool(selector.select(timeout))


def has_ended(websocket: Connection, timeout: float = 0) -> bool:
    """Wait until the connection has ended, and return whether it has."""
    # Not with join(), as websockets does in recv() and close(): two threads that join a third as
    # it ends may raise AssertionError and RuntimeError, up to 3.12 and often on PyPy.
    if threading.current_thread() is websocket.recv_events_thread:  # garbage is collected there
        timeout = 0
    return wait_until(lambda: websocket.protocol.state.name == "CLOSED", timeout)


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Poll a condition until it's met or the timeout has elapsed, and return whether it's met."""
    deadline = time.monotonic() + timeout
    interval = POLL_INTERVAL / 100
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)
        interval = min(2 * interval, POLL_INTERVAL)
    return True


def in_background(function: Callable[..., None], *args: Any) -> bool:
    """
    Call a function in a daemon thread, because it may wait for a lock that is never released.

    Returns:
        Whether the thread could be started. Exceptions are dropped.

    """

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


@contextlib.contextmanager
def shut_down_after(websocket: Connection, timeout: float) -> Iterator[None]:
    """Shut the socket down if the block doesn't end before the timeout has elapsed."""

    def wait_for_end() -> None:
        try:
            ends.get(timeout=max(0, timeout))
        except queue.Empty:
            shut_down(websocket.socket)

    ends: queue.SimpleQueue[None] = queue.SimpleQueue()
    in_background(wait_for_end)
    try:
        yield
    finally:
        ends.put(None)


def end_all(websockets: Collection[Connection], timeout: float) -> None:
    """
    Close connections that are no longer used, with a closing handshake where the peer answers.

    Unread messages are dropped: a reader thread whose queue is full can't read a close frame.

    Args:
        websockets: Open or closed connections.
        timeout: Seconds for all closing handshakes together. Then the sockets are shut down.

    """
    try:
        for websocket in websockets:
            in_background(drop_unread, websocket, timeout + SEND_TIMEOUT)
        closing = [websocket for websocket in websockets if send_close_frame(websocket)]
        # When Python shuts down, the reader threads, which are daemons, run no more.
        wait_for_all(closing, 0 if sys.is_finalizing() else timeout)
    finally:  # even if a signal handler raises
        for websocket in websockets:
            shut_down(websocket.socket)
    for websocket in wait_for_all(websockets, SEND_TIMEOUT):
        in_background(websocket.close_socket)  # its reader thread waits for a lock


def wait_for_all(websockets: Iterable[Connection], timeout: float) -> list[Connection]:
    """Wait until connections have ended, and return those that haven't."""
    deadline = time.monotonic() + timeout
    return [w for w in websockets if not has_ended(w, max(0, deadline - time.monotonic()))]


def send_close_frame(websocket: Connection) -> bool:
    """
    Send a close frame, if that can be done at once, and return whether it was sent.

    ``send_context()`` would wait for as long as another thread sends, and then for the peer.

    """
    protocol, mutex = websocket.protocol, websocket.protocol_mutex
    try:
        websocket.socket.settimeout(SEND_TIMEOUT)  # for other threads that send, too
        # Acquired with a timeout, it could be left locked by a signal handler that raises.
        if not wait_until(lambda: not mutex.locked(), SEND_TIMEOUT):
            return False
        # On one line, because an exception that a signal handler or a trace function raises between
        # the last line of a block and the end of the block would leave the mutex locked.
        with mutex: is_sent = send_close(websocket, protocol.send_close)  # fmt: skip  # noqa: E701
        websocket.socket.settimeout(None)  # for the reader thread, which waits for the answer
    except OSError:  # the connection is broken
        return False
    return is_sent


def send_close(
    websocket: Connection,
    close: Callable[..., None],
    code: CloseCode = CloseCode.NORMAL_CLOSURE,
    reason: str = "",
) -> bool:
    """Send a close frame with ``close``, unless there was one; requires holding the mutex."""
    if not is_open(websocket):
        return False
    close(code, reason)
    websocket.send_data()
    return True


def shut_down(sock: socket.socket) -> None:
    """Shut the socket down, which wakes all threads blocked on it; the reader thread closes it."""
    with contextlib.suppress(OSError):  # it is closed already
        sock.shutdown(socket.SHUT_RDWR)


def drop_unread(websocket: Connection, timeout: float) -> None:
    """Read messages, and drop them, until the connection has ended or the timeout has elapsed."""
    deadline = time.monotonic() + timeout
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
