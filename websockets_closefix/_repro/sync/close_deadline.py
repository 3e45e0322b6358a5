"""websockets 17.3 and 17.4: nothing but the end of TCP ends a connection that is closing."""

from __future__ import annotations

import socket
import threading
from typing import Any

from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close, Frame, Opcode

from ..scenario import Hangs, Outcome, Scenario
from ..waiting import PATIENCE
from .ends import opened
from .observing import observe

CLOSE = Frame(Opcode.CLOSE, Close(1000, "").serialize())
TOO_BIG = Frame(Opcode.BINARY, bytes(1000))

OPTIONS: dict[str, Any] = {"close_timeout": 0.1, "ping_interval": None, "max_size": 100}


def recv_close_frame(side: str) -> Outcome:
    """Receive a close frame; the peer leaves TCP open."""
    return recv_last_frame(side, CLOSE)


def recv_message_too_big(side: str) -> Outcome:
    """Receive what the connection fails of; the peer leaves TCP open."""
    return recv_last_frame(side, TOO_BIG)


def recv_last_frame(side: str, frame: Frame) -> Outcome:
    """Receive, from a peer that says one more thing and leaves TCP open."""

    ended = threading.Event()

    def send_frame(sock: socket.socket) -> None:
        sock.sendall(frame.serialize(mask=side == "server"))
        ended.wait(PATIENCE)

    with opened(side, send_frame, **OPTIONS) as websocket:
        try:
            return observe(websocket, websocket.recv)
        finally:
            ended.set()


SCENARIOS = (
    Scenario(
        "sync.close_deadline",
        "recv(), a close frame has come, TCP stays open",
        recv_close_frame,
        with_fix=ConnectionClosedOK,
        without_fix=Hangs,
        causes=(TimeoutError,),
    ),
    Scenario(
        "sync.close_deadline",
        "recv(), a message was too big, TCP stays open",
        recv_message_too_big,
        with_fix=ConnectionClosedError,
        without_fix=Hangs,
        causes=(TimeoutError,),
    ),
)
