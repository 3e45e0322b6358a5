"""A peer that stalls doesn't keep a connection from ending; one that is slow is left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from websockets_closefix._repro.asyncio._ends import connected_to, opened, serving
from websockets_closefix._repro.asyncio._peers import holding_open
from websockets_closefix._repro.asyncio._running import wait_until
from websockets_closefix._repro.asyncio.blocked_send import is_blocked, keep_sending
from websockets_closefix._repro.peers import reset_on_close, silent_client

from ...conftest import ROOT
from .running import in_loop, timers

sides = pytest.mark.parametrize("side", ["client", "server"])


@sides
@in_loop
async def test_every_task_that_is_blocked_raises_connection_closed(side):
    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        sending = [asyncio.ensure_future(keep_sending(websocket)) for _ in range(3)]
        await wait_until(lambda: len(websocket.drain_waiters) == 3)
        await websocket.close()
        for task in sending:
            with pytest.raises(ConnectionClosedError) as raised:
                await task
            assert type(raised.value.__cause__) is asyncio.TimeoutError
            assert raised.value.sent.code == 1000
            assert raised.value.rcvd is None
        assert websocket.protocol.state is State.CLOSED


@sides
@in_loop
async def test_a_fragmented_message(side):
    async def chunks():
        while True:
            yield bytes(65536)

    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        sending = asyncio.ensure_future(websocket.send(chunks()))
        waiting = asyncio.ensure_future(websocket.send("behind it"))
        await wait_until(lambda: is_blocked(websocket))
        await websocket.close()
        for task in (sending, waiting):
            with pytest.raises(ConnectionClosedError):
                await task


@sides
@in_loop
async def test_a_task_that_raises_leaves_async_with(side):
    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        with pytest.raises(asyncio.TimeoutError):
            async with websocket:
                await asyncio.wait_for(keep_sending(websocket), 0.3)
        assert websocket.protocol.state is State.CLOSED


@sides
@in_loop
async def test_closing_under_a_time_limit(side):
    async with opened(side, holding_open(), close_timeout=0.3) as websocket:
        sending = asyncio.ensure_future(keep_sending(websocket))
        await wait_until(lambda: is_blocked(websocket))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(websocket.close(), 0.05)
        with pytest.raises(ConnectionClosedError):
            await sending


@sides
@in_loop
async def test_a_connection_whose_close_is_cancelled_ends_all_the_same(side):
    """Nothing is unsent, but the peer doesn't answer."""
    async with opened(side, holding_open(), close_timeout=0.2) as websocket:
        closing = asyncio.ensure_future(websocket.close())
        await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(ConnectionClosedError) as raised:
            await websocket.recv()
        assert type(raised.value.__cause__) is asyncio.TimeoutError


@sides
@in_loop
async def test_a_slow_peer_gets_all_with_keepalive_on(side):
    """Its pings wait for longer than ``ping_timeout``, behind a message that is being sent."""
    size = 6 * 2**20

    def behave(sock, over):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        received = b""
        while len(received) < size - 65536:  # the handshake may have taken some
            received += sock.recv(65536)
            time.sleep(0.01)
        while True:
            sock.sendall(pong(received[-8:], mask=side == "server"))
            received = received[-8:] + sock.recv(65536)

    async with opened(
        side, behave, ping_interval=0.05, ping_timeout=0.3, close_timeout=0.1
    ) as websocket:
        with socket.socket(fileno=os.dup(fileno_of(websocket))) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        began = time.monotonic()
        await websocket.send(bytes(size))
        assert time.monotonic() - began > 0.6
        pong_waiter = await websocket.ping()
        await pong_waiter
        assert websocket.protocol.state is State.OPEN


def fileno_of(websocket):
    return websocket.transport.get_extra_info("socket").fileno()


def pong(received, *, mask):
    """Answer the last ping, of four bytes, which acknowledges those before it."""
    data = received[-4:]
    if not mask:  # it is a client's ping, which is masked
        data = bytes(a ^ b for a, b in zip(data, received[-8:-4]))
    return Frame(Opcode.PONG, data).serialize(mask=mask)


@sides
@in_loop
async def test_a_slow_peer_is_left_alone_without_keepalive(side):
    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        sending = asyncio.ensure_future(keep_sending(websocket))
        await wait_until(lambda: is_blocked(websocket))
        await asyncio.wait([sending], timeout=0.3)
        assert not sending.done()
        await websocket.close()
        with pytest.raises(ConnectionClosedError):
            await sending


@sides
@in_loop
async def test_keepalive_without_a_limit_for_pongs(side):
    async with opened(
        side, holding_open(), ping_interval=0.05, ping_timeout=None, close_timeout=0.1
    ) as websocket:
        sending = asyncio.ensure_future(keep_sending(websocket))
        await wait_until(lambda: is_blocked(websocket))
        await asyncio.wait([sending], timeout=0.3)
        assert not sending.done()
        await websocket.close()
        with pytest.raises(ConnectionClosedError):
            await sending


@sides
@in_loop
async def test_keepalive_of_a_connection_that_is_well_leaves_nothing_behind(side):
    def answer(sock, over):
        while sock.recv(65536):  # nothing; pings time out, and the connection ends
            pass

    async with opened(
        side, answer, ping_interval=0.05, ping_timeout=0.05, close_timeout=0.05
    ) as websocket:
        with pytest.raises(ConnectionClosedError) as raised:
            await websocket.recv()
        assert raised.value.sent.code == 1011
        await asyncio.sleep(0.01)
        assert timers() == []


@in_loop
async def test_pings_that_are_answered_leave_nothing_behind():
    async def receive(websocket):
        await websocket.wait_closed()

    async with serving(serve, receive) as (_, uri):
        options = {"ping_interval": 0.01, "ping_timeout": 1, "sock": connected_to(uri)}
        async with connect(uri, **options) as websocket:
            watches = websocket.connection_lost_waiter
            others = len(watches._callbacks or ())
            await wait_until(lambda: len(watches._callbacks or ()) > others)
            websocket.ping_interval = 1000  # this was the last ping but one
            await wait_until(lambda: len(watches._callbacks or ()) == others)
            assert websocket.protocol.state is State.OPEN


@in_loop
async def test_close_timeout_none_waits_for_good():
    async with opened("client", holding_open(), close_timeout=None) as websocket:
        sending = asyncio.ensure_future(keep_sending(websocket))
        await wait_until(lambda: is_blocked(websocket))
        closing = asyncio.ensure_future(websocket.close())
        await asyncio.wait([closing], timeout=0.3)
        assert not closing.done()
        websocket.transport.abort()
        await closing
        sending.cancel()
        await asyncio.wait([sending])


@in_loop
async def test_an_orderly_close_waits_for_what_is_unsent():
    received = bytearray()

    def behave(sock, over):
        time.sleep(0.1)
        while data := sock.recv(65536):
            received.extend(data)

    async with opened("client", behave, close_timeout=0.5) as websocket:
        await websocket.send(bytes(20000))
        await websocket.close()
        assert len(received) > 20000
        assert received[-8:-6] == b"\x88\x82"  # a close frame


@in_loop
async def test_a_task_that_is_blocked_when_the_peer_resets():
    def behave(sock, over):
        time.sleep(0.2)
        reset_on_close(sock)

    async with opened("client", behave) as websocket:
        with pytest.raises(ConnectionClosedError) as raised:
            await keep_sending(websocket)
        assert isinstance(raised.value.__cause__, ConnectionError)


PROGRAM = """
import asyncio, signal
import websockets_closefix
from websockets.asyncio.server import serve

async def handle(websocket):
    while True:
        await websocket.send(bytes(65536))

async def main():
    server = await serve(handle, "127.0.0.1", 0, close_timeout=0.2, compression=None)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.wait_closed()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it is sent SIGTERM")
@pytest.mark.parametrize("switch", ["on", "off"])
def test_a_server_with_a_stalled_client_stops_on_sigterm(switch):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "WEBSOCKETS_CLOSEFIX": switch},
    )
    with process:
        port = int(process.stdout.readline())
        with silent_client(f"ws://127.0.0.1:{port}"):
            time.sleep(0.5)  # until its socket, and the server's, are full
            process.terminate()
            try:
                process.wait(10 if switch == "on" else 1.5)
            except subprocess.TimeoutExpired:
                process.kill()
        _, stderr = process.communicate()
    assert process.returncode == (0 if switch == "on" else -signal.SIGKILL), stderr
