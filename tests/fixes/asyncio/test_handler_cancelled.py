"""A connection whose handler is cancelled is closed with 1011, as after any other exception."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError

import websockets_closefix
from websockets_closefix._repro.asyncio._ends import connected_to, serving

from ...conftest import has_bug
from .running import in_loop


@in_loop
async def test_the_client_is_told_and_the_server_can_be_waited_for():
    async def handle(websocket):
        raise asyncio.CancelledError

    async with serving(serve, handle) as (server, uri):
        async with connect(uri, sock=connected_to(uri)) as websocket:
            with pytest.raises(ConnectionClosedError) as raised:
                await websocket.recv()
        assert raised.value.rcvd.code == 1011
        server.close()
        await asyncio.wait_for(server.wait_closed(), 5)


@in_loop
async def test_tasks_that_are_cancelled_from_outside():
    """As asyncio.run() cancels them at its end."""
    tasks = []

    async def handle(websocket):
        tasks.append(asyncio.current_task())
        await websocket.recv()

    async with serving(serve, handle) as (_, uri):
        async with connect(uri, sock=connected_to(uri)) as websocket:
            while not tasks:
                await asyncio.sleep(0.001)
            tasks[0].cancel()
            with pytest.raises(ConnectionClosedError) as raised:
                await websocket.recv()
            assert raised.value.rcvd.code == 1011
        await asyncio.wait(tasks)
        assert tasks[0].cancelled()


@has_bug("asyncio.handler_cancelled")
@in_loop
async def test_servers_from_before_obey_unapply():
    async def handle(websocket):
        raise asyncio.CancelledError

    async with serving(serve, handle) as (_, uri):
        websockets_closefix.unapply()
        async with connect(uri, sock=connected_to(uri), close_timeout=0.1) as websocket:
            receiving = asyncio.ensure_future(websocket.recv())
            await asyncio.wait([receiving], timeout=0.2)
            assert not receiving.done()
            websocket.transport.abort()
            await asyncio.wait([receiving])
            receiving.exception()
        websockets_closefix.apply()


@has_bug("asyncio.handler_cancelled")
@in_loop
async def test_a_handler_keeps_its_name():
    async def handle(websocket):
        """Do something."""

    async with serving(serve, handle) as (server, _):
        assert server.handler.__name__ == "handle"
        assert server.handler.__doc__ == "Do something."
        assert asyncio.iscoroutinefunction(server.handler)
