"""Ends connections whose messages nobody fetches: what issues 1336 and 1555 have in common."""

from __future__ import annotations

import functools
import socket
import threading

from websockets.exceptions import ConnectionClosedError

from ..ends import keep_sending, opened
from ..observing import is_unread, observe
from ..peers import messages, reset_on_close, stay_silent
from ..scenario import Hangs, Outcome, Scenario
from ..waiting import PATIENCE, wait_until


def scenarios(bug: str, situation: str, count: int) -> tuple[Scenario, ...]:
    """Return what reproduces a bug that is met while ``count`` messages are unread."""
    return (
        Scenario(bug, f"close(), {situation}", functools.partial(close, count=count), Hangs),
        Scenario(
            bug,
            f"send() after a reset, {situation}",
            functools.partial(send, count=count),
            Hangs,
            ConnectionClosedError,
            # A reader thread that isn't stuck may be the first to meet the reset, and only the
            # newest releases tell send() of it.
            (BrokenPipeError, ConnectionResetError, type(None)),
        ),
    )


def close(side: str, count: int) -> Outcome:
    """Close while messages are unread and the peer is silent."""

    def flood(sock: socket.socket) -> None:
        sock.sendall(messages(count, mask=side == "server"))
        stay_silent(sock)

    with opened(side, flood, close_timeout=0.1) as websocket:
        wait_until(lambda: is_unread(websocket, count))
        return observe(websocket, websocket.close)


def send(side: str, count: int) -> Outcome:
    """Send while messages are unread and the peer has reset the connection."""
    reader_waits = threading.Event()

    def flood_then_reset(sock: socket.socket) -> None:
        sock.sendall(messages(count, mask=side == "server"))
        reader_waits.wait(PATIENCE)
        reset_on_close(sock)

    with opened(side, flood_then_reset, close_timeout=0.1) as websocket:
        wait_until(lambda: is_unread(websocket, count))
        reader_waits.set()
        return observe(websocket, lambda: keep_sending(websocket))
