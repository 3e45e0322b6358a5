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

from websockets_closefix._repro.asyncio._ends import connected_to, serving

from ...conftest import ROOT
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
async def test_it_returns_when_the_server_is_closed():
    async with serving(serve, wait_closed) as (server, uri):
        forever = asyncio.ensure_future(server.serve_forever())
        async with connect(uri, sock=connected_to(uri)):
            server.close()
            await forever


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
import asyncio, sys
import websockets_closefix
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

async def handle(websocket):
    await websocket.wait_closed()

async def main():
    server = await serve(handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    websocket = await connect(f"ws://{host}:{port}", **OPTIONS)
    receiving = asyncio.ensure_future(websocket.wait_closed())
    print("serving", flush=True)
    await server.serve_forever()

import inspect
OPTIONS = {"proxy": None} if "proxy" in inspect.signature(connect).parameters else {}
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it is sent SIGINT")
def test_ctrl_c_stops_a_program():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        assert process.stdout.readline() == b"serving\n"
        process.send_signal(signal.SIGINT)
        try:
            _, stderr = process.communicate(timeout=10)
        finally:
            process.kill()
    assert stderr.splitlines()[-1:] == [b"KeyboardInterrupt"]
