"""websockets.asyncio 13.0 to 16.1.1: a handler that is cancelled leaves its connection open."""

from __future__ import annotations

import asyncio
from typing import Any

from ..logs import quiet_logger
from ..scenario import Scenario
from ..waiting import PATIENCE
from ._ends import client_of, serving
from ._peers import holding_open
from ._running import free, in_event_loop
from .serve_forever import GRACE, LeftOpen


@in_event_loop
async def cancel(_: str) -> BaseException | None:
    """Cancel a handler from inside."""
    from websockets.asyncio.server import serve

    handled: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def handle(websocket: Any) -> None:
        handled.set_result(websocket)
        raise asyncio.CancelledError

    options = {"close_timeout": 0.1, "ping_interval": None, "logger": quiet_logger()}
    async with serving(serve, handle, **options) as (_server, uri), client_of(uri, holding_open()):
        websocket = await asyncio.wait_for(handled, PATIENCE)
        lost = asyncio.ensure_future(websocket.wait_closed())
        await asyncio.wait([lost], timeout=GRACE)
        is_open = not lost.done()
        await free(websocket, lost)
        return LeftOpen() if is_open else None


SCENARIOS = (
    Scenario(
        "asyncio.handler_cancelled", "a handler cancelled", cancel, LeftOpen, sides=("server",)
    ),
)
