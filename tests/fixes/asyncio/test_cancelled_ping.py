"""A ping that was given up doesn't break its connection, nor keep others from being answered."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.server import serve

from websockets_closefix._repro.asyncio._ends import connected_to, opened, serving
from websockets_closefix._repro.asyncio._peers import holding_open

from .running import in_loop

sides = pytest.mark.parametrize("side", ["client", "server"])


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@in_loop
async def test_pings_around_it_are_answered():
    from websockets.asyncio.client import connect

    async with serving(serve, echo) as (_, uri), connect(uri, sock=connected_to(uri)) as websocket:
        waiters = [await websocket.ping() for _ in range(3)]
        waiters[1].cancel()
        assert await waiters[0] >= 0
        assert await waiters[2] >= 0
        assert waiters[1].cancelled()
        await websocket.send("still here")
        assert await websocket.recv() == "still here"


@in_loop
async def test_time_limits_that_elapse():
    from websockets.asyncio.client import connect

    async with serving(serve, echo) as (_, uri), connect(uri, sock=connected_to(uri)) as websocket:
        for _ in range(20):
            waiter = await websocket.ping()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(waiter, 0)
            await websocket.send("still here")
            assert await websocket.recv() == "still here"


@sides
@in_loop
async def test_closing_with_one_pending(side):
    async with opened(side, holding_open(), close_timeout=0.05) as websocket:
        (await websocket.ping()).cancel()
        await websocket.close()
