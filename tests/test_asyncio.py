"""The asyncio implementation has no such race: it meets the shim, and isn't touched by it."""

from __future__ import annotations

import asyncio
import threading

import pytest

client = pytest.importorskip("websockets.asyncio.client")

from websockets.exceptions import ConnectionClosedError  # noqa: E402

import websockets_closefix  # noqa: E402
from websockets_closefix._repro.peers import reset_on_close  # noqa: E402
from websockets_closefix._repro.sync.observing import observe  # noqa: E402

from .conftest import affected  # noqa: E402
from .peers import server  # noqa: E402

pytestmark = pytest.mark.asyncio


async def test_asyncio_client_of_a_patched_server_that_resets_the_connection():
    outcomes, done = [], threading.Event()

    def handler(websocket):
        websocket.recv(timeout=5)
        reset_on_close(websocket.socket)
        outcomes.append(observe(websocket, websocket.close_socket))
        done.set()

    with server(handler) as uri:
        async with client.connect(uri) as websocket:
            await websocket.send("reset, please")
            with pytest.raises(ConnectionClosedError):
                await asyncio.wait_for(websocket.recv(), 5)
        assert await asyncio.to_thread(done.wait, 5)
    assert outcomes == [(None, None)]


async def test_patched_server_whose_asyncio_client_resets_the_connection():
    outcomes, done = [], threading.Event()

    def handler(websocket):
        outcomes.append(observe(websocket, lambda: websocket.recv(timeout=5)))
        done.set()

    with server(handler) as uri:
        async with client.connect(uri) as websocket:
            reset_on_close(websocket.transport.get_extra_info("socket"))
            websocket.transport.abort()
        assert await asyncio.to_thread(done.wait, 5)
    [outcome] = outcomes
    assert type(outcome.caller) is ConnectionClosedError
    assert outcome.reader is None


@affected
async def test_apply_inside_a_running_loop(without_shim):
    assert websockets_closefix.status().state == "disabled"
    assert websockets_closefix.apply().state == "applied"


@affected
async def test_asyncio_objects_are_the_same(without_shim):
    from websockets.asyncio import connection, server

    modules = (client, connection, server)
    before = [dict(vars(module)) for module in modules]
    methods = dict(vars(connection.Connection))
    websockets_closefix.apply()
    for module, attributes in zip(modules, before):
        assert all(vars(module)[name] is value for name, value in attributes.items())
    assert all(vars(connection.Connection)[name] is value for name, value in methods.items())
