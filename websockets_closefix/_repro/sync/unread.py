"""
Every release: messages that nobody fetches keep the peer's close frame from being read.

There is no ``close_timeout``, so that a thread which would take all of it hangs.

"""

from __future__ import annotations

import socket

from websockets.frames import Close, Frame, Opcode

from ..peers import messages, stay_silent
from ..scenario import Hangs, Outcome, Scenario
from ..waiting import wait_until
from .ends import opened
from .observing import is_unread, observe

MORE_THAN_MAX_QUEUE = 400


def close(side: str) -> Outcome:
    """Leave a stream early; the peer answers the close frame at once."""

    def flood_then_close(sock: socket.socket) -> None:
        sock.sendall(messages(MORE_THAN_MAX_QUEUE, mask=side == "server"))
        answer_close_frame(sock, mask=side == "server")

    with opened(side, flood_then_close, close_timeout=None) as websocket:
        wait_until(lambda: is_unread(websocket, MORE_THAN_MAX_QUEUE))
        return observe(websocket, websocket.close)


def answer_close_frame(sock: socket.socket, *, mask: bool) -> None:
    """Answer the first thing that comes, which is a close frame, and end the stream."""
    sock.recv(65536)
    send_close_frame(sock, mask=mask)


def send_close_frame(sock: socket.socket, *, mask: bool) -> None:
    """Send a close frame, end the stream, and wait for the other end to do so."""
    sock.sendall(Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=mask))
    sock.shutdown(socket.SHUT_WR)
    stay_silent(sock)


SCENARIOS = (Scenario("sync.unread", "close(), messages unread, the peer answers", close, Hangs),)
