"""websockets.asyncio 13.0 to 16.1.1: cancelling ``serve_forever()`` leaves connections open."""

from __future__ import annotations

import asyncio
from typing import Any

from ..logs import quiet_logger
from ..scenario import Scenario
from ..waiting import PATIENCE
from ._ends import client_of, serving
from ._peers import holding_open
from ._running import free, in_event_loop

GRACE = 0.5
"""Seconds after which a connection is left open; several times its ``close_timeout``."""


class LeftOpen(Exception):
    """What is raised for a connection that nobody closes."""


@in_event_loop
async def cancel(_: str) -> BaseException | None:
    """Cancel ``serve_forever()``, as Ctrl-C does, while a client is connected."""
    from websockets.asyncio.server import serve

    handled: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def handle(websocket: Any) -> None:
        handled.set_result(websocket)
        await websocket.wait_closed()

    options = {"close_timeout": 0.1, "ping_interval": None, "logger": quiet_logger()}
    async with serving(serve, handle, **options) as (server, uri), client_of(uri, holding_open()):
        serving_forever = asyncio.ensure_future(server.serve_forever())
        websocket = await asyncio.wait_for(handled, PATIENCE)
        serving_forever.cancel()
        await asyncio.wait([serving_forever], timeout=GRACE)
        is_open = not websocket.connection_lost_waiter.done()
        await free(websocket, serving_forever)
        return LeftOpen() if is_open else None


SCENARIOS = (
    Scenario(
        "asyncio.serve_forever",
        "serve_forever() cancelled, a client connected",
        cancel,
        LeftOpen,
        sides=("server",),
    ),
)
