"""Ends connections whose messages nobody fetches: what issues 1336 and 1555 have in common."""

from __future__ import annotations

import socket
import threading

from ..ends import keep_sending, opened
from ..observing import PATIENCE, Outcome, is_unread, observe, wait_until
from ..peers import messages, reset_on_close, stay_silent


def close_unread(side: str, count: int) -> Outcome:
    """Close while ``count`` messages are unread and the peer is silent."""

    def flood(sock: socket.socket) -> None:
        sock.sendall(messages(count, mask=side == "server"))
        stay_silent(sock)

    with opened(side, flood, close_timeout=0.1) as websocket:
        wait_until(lambda: is_unread(websocket, count))
        return observe(websocket, websocket.close)


def send_unread(side: str, count: int) -> Outcome:
    """Send while ``count`` messages are unread and the peer has reset the connection."""
    reader_waits = threading.Event()

    def flood_then_reset(sock: socket.socket) -> None:
        sock.sendall(messages(count, mask=side == "server"))
        reader_waits.wait(PATIENCE)
        reset_on_close(sock)

    with opened(side, flood_then_reset, close_timeout=0.1) as websocket:
        wait_until(lambda: is_unread(websocket, count))
        reader_waits.set()
        return observe(websocket, lambda: keep_sending(websocket))
