"""Clients and servers of the two implementations meet, both with the shim, in running loops."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

client = pytest.importorskip("websockets.asyncio.client")

from websockets.exceptions import ConnectionClosedError  # noqa: E402

import websockets_closefix  # noqa: E402
from websockets_closefix import _detect  # noqa: E402
from websockets_closefix._repro.peers import reset_on_close  # noqa: E402
from websockets_closefix._repro.sync.observing import observe  # noqa: E402

from .conftest import installed_release  # noqa: E402
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


async def test_apply_inside_a_running_loop(without_shim):
    assert websockets_closefix.status().state == "disabled"
    assert websockets_closefix.apply().state == "applied"


async def test_a_connection_from_before_is_fixed_too(without_shim):
    """Reading is paused, with more unread than max_queue."""
    handled = threading.Event()

    def handler(websocket):
        for _ in range(400):
            websocket.send("unread")
        handled.wait(5)

    with server(handler) as uri:
        websocket = await client.connect(uri, close_timeout=None)
        while not websocket.recv_messages.paused:
            await asyncio.sleep(0.001)
        websockets_closefix.apply()
        handled.set()
        await asyncio.wait_for(websocket.close(), 5)
    assert websocket.protocol.close_code == 1000


async def test_context_variables_are_as_before():
    """What runs in a timer of the shim's sees the context in which the connection was closed."""
    variable = contextvars.ContextVar("variable", default="none")
    seen = []

    async def handler(websocket):
        variable.set("the handler's")
        await websocket.wait_closed()
        seen.append(variable.get())

    from websockets.asyncio.server import serve

    async with serve(handler, "127.0.0.1", 0) as asyncio_server:
        port = asyncio_server.sockets[0].getsockname()[1]
        variable.set("the client's")
        async with client.connect(f"ws://127.0.0.1:{port}"):
            pass
        assert variable.get() == "the client's"
    assert seen == ["the handler's"]


IMPORTS = """
import sys, warnings
warnings.simplefilter("error")
import websockets_closefix
import websockets.{}
print(sorted(name for name in sys.modules if name.startswith("websockets_closefix._fixes.")))
"""


@pytest.mark.skipif(
    _detect.release(installed_release()) < (14, 0),
    reason="this release imports parts of one implementation for another",
)
@pytest.mark.parametrize(
    ("module", "loaded", "not_loaded"),
    [
        ("sync.client", "sync", "asyncio"),
        ("asyncio.client", "asyncio", "sync"),
        ("asyncio.server", "asyncio", "legacy"),
    ],
)
async def test_each_implementation_loads_its_own_fixes(python, module, loaded, not_loaded):
    output = python(IMPORTS.format(module)).stdout
    assert f"_fixes.{loaded}" in output
    assert f"_fixes.{not_loaded}" not in output
