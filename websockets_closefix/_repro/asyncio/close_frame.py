"""websockets.asyncio, every release: nothing watches the deadline for the end of TCP."""

from __future__ import annotations

import asyncio

from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from ..scenario import Hangs, Scenario
from ._ends import opened
from ._peers import close_frame, holding_open
from ._running import in_event_loop, observe

INVALID_FRAME = b"\x8f\x80\x00\x00\x00\x00"
"""A frame with an opcode that there isn't, masked; a server must not even mask."""


@in_event_loop
async def recv(side: str) -> BaseException | None:
    """Wait in ``recv()`` when the peer sends a close frame and leaves TCP open."""
    async with opened(side, holding_open(close_frame(side)), close_timeout=0.1) as websocket:
        return await observe(websocket, websocket.recv())


@in_event_loop
async def wait_closed(side: str) -> BaseException | None:
    """Wait in ``wait_closed()`` when the peer sends a close frame and leaves TCP open."""
    async with opened(side, holding_open(close_frame(side)), close_timeout=0.1) as websocket:
        return await observe(websocket, websocket.wait_closed())


@in_event_loop
async def recv_invalid(side: str) -> BaseException | None:
    """Wait in ``recv()`` when the peer sends an invalid frame and leaves TCP open."""
    async with opened(side, holding_open(INVALID_FRAME), close_timeout=0.1) as websocket:
        return await observe(websocket, websocket.recv())


SCENARIOS = (
    Scenario(
        "asyncio.close_frame",
        "recv(), a close frame",
        recv,
        Hangs,
        ConnectionClosedOK,
        (asyncio.TimeoutError,),
    ),
    Scenario("asyncio.close_frame", "wait_closed(), a close frame", wait_closed, Hangs),
    Scenario(
        "asyncio.close_frame",
        "recv(), an invalid frame",
        recv_invalid,
        Hangs,
        ConnectionClosedError,
        (asyncio.TimeoutError,),
    ),
)
