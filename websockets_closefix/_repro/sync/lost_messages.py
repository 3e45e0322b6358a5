"""websockets 14.0 and later: a message comes with a close frame that can't be answered."""

from __future__ import annotations

import socket
import threading

from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode

from ..peers import messages, stay_silent
from ..scenario import Outcome, Scenario
from ..waiting import PATIENCE, wait_until
from .ends import opened
from .observing import observe

CLOSE = Frame(Opcode.CLOSE, Close(1000, "").serialize())


class MessageLost(Exception):
    """What ``Outcome`` holds where a message that has come can't be received."""


def recv(side: str) -> Outcome:
    """Wait for a message that comes with a close frame, from a peer that has gone then."""
    is_torn = threading.Event()

    def send_and_go(sock: socket.socket) -> None:
        is_torn.wait(PATIENCE)
        mask = side == "server"
        sock.sendall(messages(1, mask=mask) + CLOSE.serialize(mask=mask))
        stay_silent(sock)

    def receive() -> None:
        try:
            websocket.recv()
        except ConnectionClosed as exc:
            raise MessageLost from exc

    def tear() -> None:
        wait_until(lambda: websocket.recv_messages.get_in_progress)
        websocket.socket.sendall_fails = True
        is_torn.set()

    with opened(side, send_and_go, close_timeout=0.1) as websocket:
        return observe(websocket, receive, tear)


SCENARIOS = (
    Scenario("sync.lost_messages", "recv(), with a close frame and a reset", recv, MessageLost),
)
