"""The other end of a connection, as far as ``websockets.asyncio`` needs peers of its own."""

from __future__ import annotations

import socket
import threading
from typing import Callable

from websockets.frames import Frame, Opcode

from ..peers import messages
from ..waiting import PATIENCE

Behaviour = Callable[[socket.socket, threading.Event], None]
"""What a peer does, in a thread, until the event says that the scenario is over."""

CHUNK = 65536
"""Bytes of a message; twice the limit beyond which writing is paused."""


def close_frame(side: str) -> bytes:
    """Return a close frame as the peer of one side sends it."""
    return Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=side == "server")


def streaming(side: str, count: int) -> Behaviour:
    """Send messages, then answer what comes, a close frame, with a close frame."""

    def behave(sock: socket.socket, over: threading.Event) -> None:
        sock.sendall(messages(count, mask=side == "server"))
        sock.recv(65536)
        sock.sendall(close_frame(side))
        if side == "server":
            sock.recv(65536)  # a server is the first to close TCP

    return behave


def holding_open(data: bytes = b"") -> Behaviour:
    """Send something, then nothing, and read nothing."""

    def behave(sock: socket.socket, over: threading.Event) -> None:
        sock.sendall(data)
        over.wait(2 * PATIENCE)

    return behave
