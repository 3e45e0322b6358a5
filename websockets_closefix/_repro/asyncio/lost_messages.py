"""websockets.asyncio 13.0 to 14.0: closing clears the queue of messages."""

from __future__ import annotations

import socket
import threading

from websockets.exceptions import ConnectionClosed

from ..peers import messages
from ..scenario import Scenario
from ._ends import opened
from ._peers import close_frame
from ._running import in_event_loop, observe

COUNT = 5


class Lost(Exception):
    """What is raised for messages that weren't received."""


@in_event_loop
async def recv(side: str) -> BaseException | None:
    """Receive what the peer sent before it closed."""

    def behave(sock: socket.socket, over: threading.Event) -> None:
        sock.sendall(messages(COUNT, mask=side == "server") + close_frame(side))
        sock.recv(65536)

    async def recv_all() -> None:
        await websocket.wait_closed()
        for received in range(COUNT):
            try:
                await websocket.recv()
            except ConnectionClosed as exc:
                raise Lost(f"{received} of {COUNT} messages received") from exc

    async with opened(side, behave, close_timeout=1) as websocket:
        return await observe(websocket, recv_all())


SCENARIOS = (Scenario("asyncio.lost_messages", "recv() after the peer has closed", recv, Lost),)
