"""
Ends connections in bounded time, whatever the peer and other threads are up to.

Nothing here waits for ``Connection.close()``: on 14.0 and 14.1 that hangs while messages are
unread, and on every release while another thread is blocked in ``send()``. Nor for any lock of a
connection: one that a signal handler has interrupted in ``send()`` or ``recv()`` may have left them
locked for good.

"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Collection, Iterable
from typing import Any, Callable

from websockets.exceptions import ConcurrencyError, WebSocketException
from websockets.frames import CloseCode
from websockets.sync.connection import Connection

from ._background import in_background
from ._locked import locked
from ._state import POLL_INTERVAL, has_ended, is_reading, wait_until

NORMAL_CLOSURE = CloseCode.NORMAL_CLOSURE

FAREWELL_TIMEOUT = 0.1
"""Seconds for sending a close frame."""


def end_all(websockets: Collection[Connection], timeout: float) -> None:
    """
    Close connections that nobody uses any more.

    What is unread is dropped: a reader thread whose queue is full sees nothing of a close frame.

    Args:
        websockets: Open connections, or closed ones, which is no mistake.
        timeout: Seconds for all closing handshakes together; who takes longer is hung up.

    """
    try:
        for websocket in websockets:
            in_background(drop_unread, websocket, timeout + FAREWELL_TIMEOUT)
        told = [websocket for websocket in websockets if say_goodbye(websocket)]
        # When Python shuts down, the reader threads, which are daemons, run no more.
        wait_for_all(told, 0 if sys.is_finalizing() else timeout)
    finally:  # even if a signal handler raises
        for websocket in websockets:
            hang_up(websocket.socket)
    for websocket in wait_for_all(websockets, FAREWELL_TIMEOUT):
        in_background(websocket.close_socket)  # whose reader thread waits for a lock


def wait_for_all(websockets: Iterable[Connection], timeout: float) -> list[Connection]:
    """Wait until connections have ended or the timeout has elapsed; return which haven't."""
    deadline = time.monotonic() + timeout
    return [w for w in websockets if not has_ended(w, max(0, deadline - time.monotonic()))]


def say_goodbye(websocket: Connection) -> bool:
    """
    Send a close frame, if that can be done at once; return whether it was sent.

    ``send_context()`` would wait for as long as another thread sends, and then for the peer.

    """
    try:
        websocket.socket.settimeout(FAREWELL_TIMEOUT)  # bounds whoever sends from now on
        # Taken with a timeout, it could be left locked by a signal handler that raises.
        if not wait_until(lambda: not websocket.protocol_mutex.locked(), FAREWELL_TIMEOUT):
            return False
        close = websocket.protocol.send_close
        is_sent = locked(websocket.protocol_mutex, send_close, websocket, close, NORMAL_CLOSURE)
        websocket.socket.settimeout(None)  # for the reader thread, which waits for the answer
    except OSError:
        return False  # the peer never hears of it
    return is_sent


def send_close(websocket: Connection, close: Callable[..., None], *code_and_reason: Any) -> bool:
    """Send a close frame with ``close``, unless there was one; requires holding the mutex."""
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
        except (EOFError, TimeoutError):
            break
        except ConcurrencyError:  # with a recv() that was interrupted
            if not is_reading(websocket):
                websocket.recv_messages.close()
            time.sleep(POLL_INTERVAL)
        except (UnicodeDecodeError, WebSocketException):
            pass
