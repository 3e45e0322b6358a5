"""websockets.asyncio 13.0 to 14.1: a pong comes for a ping whose waiter was cancelled."""

from __future__ import annotations

import asyncio
import socket
import threading

from websockets.frames import Frame, Opcode

from ..scenario import Scenario
from ..waiting import PATIENCE
from ._ends import opened
from ._running import in_event_loop, observe


@in_event_loop
async def ping(side: str) -> BaseException | None:
    """Give a ping up before its pong, and a message after it, arrive."""
    mask = side == "server"
    given_up = threading.Event()

    def behave(sock: socket.socket, over: threading.Event) -> None:
        given_up.wait(PATIENCE)
        sock.sendall(Frame(Opcode.PONG, b"late").serialize(mask=mask))
        sock.sendall(Frame(Opcode.TEXT, b"hello").serialize(mask=mask))
        over.wait(PATIENCE)

    async def give_up() -> None:
        waiter = await websocket.ping(b"late")
        waiter.cancel()
        given_up.set()
        await websocket.recv()

    async with opened(side, behave, close_timeout=0.1) as websocket:
        return await observe(websocket, give_up())


SCENARIOS = (Scenario("asyncio.cancelled_ping", "a late pong", ping, asyncio.InvalidStateError),)
