"""websockets.asyncio, every release: reading is paused while ``max_queue`` is exceeded."""

from __future__ import annotations

from typing import Any

from ..scenario import Hangs, Scenario
from ._ends import opened
from ._peers import streaming
from ._running import in_event_loop, observe, wait_until

MORE_THAN_MAX_QUEUE = 400


@in_event_loop
async def close(side: str) -> BaseException | None:
    """Close, without a time limit, while more than ``max_queue`` messages are unread."""
    async with opened(side, streaming(side, MORE_THAN_MAX_QUEUE), close_timeout=None) as websocket:
        await wait_until(lambda: websocket.recv_messages.paused)
        return await observe(websocket, websocket.close())


@in_event_loop
async def leave(side: str) -> BaseException | None:
    """Leave ``async with`` early, in the same state."""

    async def receive_one(websocket: Any) -> None:
        async with websocket:
            await websocket.recv()

    async with opened(side, streaming(side, MORE_THAN_MAX_QUEUE), close_timeout=None) as websocket:
        await wait_until(lambda: websocket.recv_messages.paused)
        return await observe(websocket, receive_one(websocket))


SCENARIOS = (
    Scenario("asyncio.unread", "close(), max_queue exceeded", close, Hangs),
    Scenario("asyncio.unread", "leaving async with, max_queue exceeded", leave, Hangs),
)
