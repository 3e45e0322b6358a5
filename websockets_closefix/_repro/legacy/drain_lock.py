"""websockets.legacy, 16.0 to 17.4: a second task that waits to write meets an assertion."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

from websockets.exceptions import ConnectionClosedError

from ..asyncio._ends import opened_by
from ..asyncio._peers import CHUNK, holding_open
from ..asyncio._running import in_event_loop, observe, wait_until
from ..scenario import Scenario


def opened(side: str, behave: Any, **kwargs: Any) -> Any:
    """Open a connection of ``websockets.legacy``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from websockets.legacy import client, server
    return opened_by(client, server, side, behave, **kwargs)


async def keep_sending(websocket: Any) -> None:
    """Send until it is blocked, and go on when it isn't any more."""
    while True:
        await websocket.send(bytes(CHUNK))


def is_blocked(websocket: Any) -> bool:
    """Tell whether a task is blocked in ``send()``."""
    return websocket._drain_waiter is not None


@in_event_loop
async def two_send(side: str) -> BaseException | None:
    """Send in two tasks, then close."""

    async def send_when_blocked() -> None:
        await wait_until(lambda: is_blocked(websocket))
        await websocket.send("late")

    async def close_when_blocked() -> None:
        await wait_until(lambda: is_blocked(websocket))
        await asyncio.sleep(0.01)
        await websocket.close()

    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        return await observe(
            websocket, send_when_blocked(), close_when_blocked(), keep_sending(websocket)
        )


@in_event_loop
async def close(side: str) -> BaseException | None:
    """Close while another task is blocked in ``send()``."""

    async def close_when_blocked() -> None:
        await wait_until(lambda: is_blocked(websocket))
        await websocket.close()

    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        return await observe(websocket, close_when_blocked(), keep_sending(websocket))


SCENARIOS = tuple(
    Scenario(
        "legacy.drain_lock",
        name,
        end_connection,
        AssertionError,
        ConnectionClosedError,
        (asyncio.CancelledError, type(None)),
    )
    for name, end_connection in (
        ("two tasks in send()", two_send),
        ("close(), another task in send()", close),
    )
)
