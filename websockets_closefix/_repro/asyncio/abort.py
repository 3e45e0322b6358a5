"""websockets.asyncio 13.0 to 14.1: the transport waits for what is unsent, beyond the deadline."""

from __future__ import annotations

import asyncio

from ..scenario import Hangs, Scenario
from ._ends import opened
from ._peers import holding_open
from ._running import in_event_loop, observe


@in_event_loop
async def close(side: str) -> BaseException | None:
    """Close while less is unsent than writing is paused for."""
    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        while not websocket.transport.get_write_buffer_size():
            await websocket.send(bytes(8000))
            await asyncio.sleep(0)
        return await observe(websocket, websocket.close())


SCENARIOS = (Scenario("asyncio.abort", "close(), data unsent", close, Hangs),)
