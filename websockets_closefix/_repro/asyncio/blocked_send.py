"""websockets.asyncio, every release: closing waits until all is sent, before its time limit."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from websockets.exceptions import ConnectionClosedError

from ..logs import quiet_logger
from ..scenario import Hangs, Scenario
from ._ends import client_of, opened, serving
from ._peers import CHUNK, holding_open
from ._running import in_event_loop, observe, wait_until


async def keep_sending(websocket: Any) -> None:
    """Send until it is blocked, and go on when it isn't any more."""
    while True:
        await websocket.send(bytes(CHUNK))


def is_blocked(websocket: Any) -> bool:
    """Tell whether a task is blocked in ``send()``."""
    return bool(websocket.drain_waiters)


@in_event_loop
async def close(side: str) -> BaseException | None:
    """Close while another task is blocked in ``send()``."""

    async def close_when_blocked() -> None:
        await wait_until(lambda: is_blocked(websocket))
        await websocket.close()

    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        return await observe(websocket, keep_sending(websocket), close_when_blocked())


@in_event_loop
async def close_after_timeout(side: str) -> BaseException | None:
    """Close after giving up a ``send()`` that was blocked."""
    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        sending = asyncio.ensure_future(keep_sending(websocket))
        await wait_until(lambda: is_blocked(websocket))
        sending.cancel()
        await asyncio.wait([sending])
        return await observe(websocket, websocket.close())


@in_event_loop
async def keepalive(side: str) -> BaseException | None:
    """Leave it to keepalive to find out that the peer stalls."""
    async with opened(
        side, holding_open(), ping_interval=0.1, ping_timeout=0.1, close_timeout=0.1
    ) as websocket:
        return await observe(websocket, keep_sending(websocket))


@in_event_loop
async def server_close(_: str) -> BaseException | None:
    """Close a server one of whose clients stalls."""
    from websockets.asyncio.server import serve

    loop = asyncio.get_running_loop()
    handled: asyncio.Future[Any] = loop.create_future()

    async def handle(websocket: Any) -> None:
        handled.set_result(websocket)
        await keep_sending(websocket)

    async def close() -> None:
        server.close()
        await server.wait_closed()

    options = {"close_timeout": 0.1, "ping_interval": None, "logger": quiet_logger()}
    async with serving(serve, handle, **options) as (server, uri), client_of(uri, holding_open()):
        websocket = await handled
        await wait_until(lambda: is_blocked(websocket))
        return await observe(websocket, close())


KEEPALIVE = Scenario(
    "asyncio.blocked_send",
    "keepalive, a task blocked in send()",
    keepalive,
    Hangs,
    ConnectionClosedError,
    (TimeoutError, asyncio.TimeoutError),  # the kernel's, or keepalive's own
)

SCENARIOS = (
    Scenario(
        "asyncio.blocked_send",
        "close(), another task blocked in send()",
        close,
        Hangs,
        ConnectionClosedError,
        (asyncio.TimeoutError,),
    ),
    Scenario(
        "asyncio.blocked_send", "close() after send() was given up", close_after_timeout, Hangs
    ),
    *((KEEPALIVE,) if hasattr(socket, "TCP_USER_TIMEOUT") else ()),  # Linux has it
    Scenario(
        "asyncio.blocked_send",
        "server.close(), a handler blocked in send()",
        server_close,
        Hangs,
        sides=("server",),
    ),
)
