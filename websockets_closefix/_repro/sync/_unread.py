"""Ends connections whose messages nobody fetches: what issues 1336 and 1555 have in common."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import ConnectionClosedError

from ..peers import Behaviour, messages, reset_on_close, stay_silent
from ..scenario import Hangs, Outcome, Scenario
from ..waiting import PATIENCE, wait_until
from .ends import keep_sending, opened
from .observing import is_unread, observe


def scenarios(bug: str, situation: str, count: int) -> tuple[Scenario, ...]:
    """Return what reproduces a bug that is met while ``count`` messages are unread."""
    end_close, end_send = (functools.partial(end, count=count) for end in (close, send))
    # Where the reader thread is the first to meet the reset, most releases have no cause.
    causes = (BrokenPipeError, ConnectionResetError, type(None))
    name = f"send() after a reset, {situation}"
    return (
        Scenario(bug, f"close(), {situation}", end_close, Hangs),
        Scenario(bug, name, end_send, Hangs, ConnectionClosedError, causes),
    )


def close(side: str, count: int) -> Outcome:
    """Close while messages are unread and the peer is silent."""
    with opened_unread(side, count, stay_silent) as websocket:
        return observe(websocket, websocket.close)


def send(side: str, count: int) -> Outcome:
    """Send while messages are unread and the peer has reset the connection."""
    with opened_unread(side, count, reset_on_close) as websocket:
        return observe(websocket, lambda: keep_sending(websocket))


@contextlib.contextmanager
def opened_unread(side: str, count: int, behave: Behaviour) -> Iterator[Any]:
    """Open a connection and yield it when messages are unread; what the peer does comes after."""
    unread = threading.Event()

    def flood(sock: socket.socket) -> None:
        sock.sendall(messages(count, mask=side == "server"))
        unread.wait(PATIENCE)
        behave(sock)

    with opened(side, flood, close_timeout=0.1) as websocket:
        wait_until(lambda: is_unread(websocket, count))
        unread.set()
        yield websocket
