"""
Ends connections in bounded time, whatever the peer and other threads are up to.

Nothing here waits for ``Connection.close()``: on 14.0 and 14.1 that hangs while messages are
unread, and on every release while another thread is blocked in ``send()``.

"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Collection
from typing import Any, Callable

from websockets.exceptions import ConcurrencyError, WebSocketException
from websockets.frames import CloseCode
from websockets.sync.connection import Connection

from ._locked import locked

NORMAL_CLOSURE = CloseCode.NORMAL_CLOSURE

FAREWELL_TIMEOUT = 0.1
"""Seconds for sending a close frame."""

POLL_INTERVAL = 0.01
"""Seconds between two looks at what nobody tells of."""


def end_all(websockets: Collection[Connection], timeout: float) -> None:
    """
    Close connections that nobody uses any more.

    What is unread is dropped: a reader thread whose queue is full sees nothing of a close frame.

    Args:
        websockets: Open connections, or closed ones, which is no mistake.
        timeout: Seconds for all closing handshakes together; who takes longer is hung up.

    """
    deadline = time.monotonic() + timeout
    told = [w for w in websockets if say_goodbye(w, w.protocol.send_close, NORMAL_CLOSURE)]
    for websocket in told:
        drop_unread(websocket, deadline - time.monotonic())
    for websocket in websockets:
        hang_up(websocket.socket)
    for websocket in websockets:
        drop_unread(websocket, FAREWELL_TIMEOUT)
        websocket.recv_messages.close()  # last resort: an interrupted recv() has left it in use
        websocket.recv_events_thread.join(FAREWELL_TIMEOUT)


def say_goodbye(websocket: Connection, close: Callable[..., None], *code_and_reason: Any) -> bool:
    """
    Send a close frame with ``close``, if that can be done at once; return whether it was sent.

    ``send_context()`` would wait for as long as another thread sends, and then for the peer.

    """
    try:
        websocket.socket.settimeout(FAREWELL_TIMEOUT)  # bounds whoever sends from now on
        if not wait_until(lambda: not websocket.protocol_mutex.locked(), FAREWELL_TIMEOUT):
            return False
        is_sent = locked(websocket.protocol_mutex, _send_close, websocket, close, *code_and_reason)
        websocket.socket.settimeout(None)  # for the reader thread, which waits for the answer
    except OSError:
        return False  # the peer never hears of it
    return is_sent


def _send_close(websocket: Connection, close: Callable[..., None], *code_and_reason: Any) -> bool:
    if websocket.protocol.state.name != "OPEN":
        return False
    close(*code_and_reason)
    websocket.send_data()
    return True


def hang_up(sock: socket.socket) -> None:
    """Shut the socket down, which wakes whoever is blocked on it; the reader thread closes it."""
    with contextlib.suppress(OSError):  # it is closed already
        sock.shutdown(socket.SHUT_RDWR)


def drop_unread(websocket: Connection, timeout: float) -> None:
    """Read messages, for nobody, until the connection has ended or the timeout has elapsed."""
    deadline = time.monotonic() + timeout
    while (remaining := deadline - time.monotonic()) > 0:
        try:
            websocket.recv_messages.get(remaining)
        except (EOFError, TimeoutError, ConcurrencyError):
            break
        except (UnicodeDecodeError, WebSocketException):
            pass
    websocket.recv_events_thread.join(max(0, deadline - time.monotonic()))


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Look whether the condition is met until it is or the timeout has elapsed; return whether."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_INTERVAL)
    return True
