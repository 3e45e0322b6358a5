"""Cancelling ``serve_forever()`` closes the server and its connections, then it is cancelled."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedOK

from websockets_closefix._repro.asyncio._ends import client_of, connected_to, serving
from websockets_closefix._repro.asyncio._peers import holding_open
from websockets_closefix._repro.asyncio._running import wait_until

from ...conftest import ROOT, bugs_of_the_release, has_bug
from .running import in_loop


async def wait_closed(websocket):
    await websocket.wait_closed()


@in_loop
async def test_clients_are_told():
    async with serving(serve, wait_closed) as (server, uri):
        forever = asyncio.ensure_future(server.serve_forever())
        async with connect(uri, sock=connected_to(uri)) as websocket:
            forever.cancel()
            with pytest.raises(ConnectionClosedOK) as raised:
                await websocket.recv()
            assert raised.value.rcvd.code == 1001
        with pytest.raises(asyncio.CancelledError):
            await forever
        assert not server.is_serving()


@in_loop
async def test_it_ends_when_the_server_is_closed():
    """As the release has it: up to 16.1.1 it raises CancelledError, as asyncio's own server."""
    async with serving(serve, wait_closed) as (server, uri):
        forever = asyncio.ensure_future(server.serve_forever())
        async with connect(uri, sock=connected_to(uri)):
            server.close()
            await asyncio.wait([forever], timeout=5)
            assert forever.done()
            assert forever.cancelled() is ("asyncio.serve_forever" in bugs_of_the_release())


@has_bug("asyncio.serve_forever")
@in_loop
async def test_what_it_refuses():
    async with serving(serve, wait_closed) as (server, _):
        forever = asyncio.ensure_future(server.serve_forever())
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="already being awaited"):
            await server.serve_forever()
        assert not forever.done()
        forever.cancel()
        await asyncio.wait([forever])
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()


@in_loop
async def test_cancelling_twice():
    """The client doesn't answer, and who stops the program doesn't want to wait."""
    connections = []

    async def handle(websocket):
        connections.append(websocket)
        await websocket.wait_closed()

    async with serving(serve, handle, close_timeout=60) as (server, uri):
        forever = asyncio.ensure_future(server.serve_forever())
        async with client_of(uri, holding_open()):
            await wait_until(lambda: connections)
            forever.cancel()
            await asyncio.wait([forever], timeout=0.1)
            assert not forever.done()
            forever.cancel()
            await asyncio.wait([forever], timeout=5)
            assert forever.cancelled()
            connections[0].transport.abort()


@in_loop
async def test_it_starts_serving():
    async with serving(serve, wait_closed, start_serving=False) as (server, uri):
        assert not server.is_serving()
        forever = asyncio.ensure_future(server.serve_forever())
        async with connect(uri, sock=connected_to(uri)):
            assert server.is_serving()
        forever.cancel()
        await asyncio.wait([forever])


PROGRAM = """
import asyncio, signal
import websockets_closefix
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

async def handle(websocket):
    await websocket.wait_closed()

async def main():
    server = await serve(handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    websocket = await connect(f"ws://{host}:{port}")
    asyncio.get_running_loop().call_later(0.1, lambda: print("serving", flush=True))
    await server.serve_forever()

signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it is sent SIGINT")
def test_ctrl_c_stops_a_program():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "*"},
    )
    with process:
        assert process.stdout.readline() == b"serving\n"
        process.send_signal(signal.SIGINT)
        try:
            _, stderr = process.communicate(timeout=10)
        finally:
            process.kill()
    assert stderr.splitlines()[-1:] == [b"KeyboardInterrupt"]
