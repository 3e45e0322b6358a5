"""A peer that stalls doesn't keep a connection from ending; one that is slow is left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Frame, Opcode
from websockets.protocol import State

import websockets_closefix
from websockets_closefix._repro.asyncio._ends import connected_to, opened, serving
from websockets_closefix._repro.asyncio._peers import close_frame, holding_open
from websockets_closefix._repro.asyncio._running import free, wait_until
from websockets_closefix._repro.asyncio.blocked_send import is_blocked, keep_sending
from websockets_closefix._repro.peers import peer, reset_on_close, silent_client, stay_silent
from websockets_closefix._repro.waiting import PATIENCE

from ...conftest import ROOT, can_block_proactor, needs_user_timeout
from ...peers import client_context, tls_peer
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


@can_block_proactor
@sides
@in_loop
async def test_a_slow_peer_gets_all_with_keepalive_on(side):
    """Its pings wait for longer than ``ping_timeout``, behind a message that is being sent."""

    def behave(sock, over):
        last = read_slowly(sock)
        while True:
            sock.sendall(pong(last, mask=side == "server"))
            last = last + sock.recv(65536)

    async with opened(side, behave, **KEEPALIVE) as websocket:
        use_small_buffer(websocket)
        began = time.monotonic()
        await websocket.send(bytes(SIZE))
        assert time.monotonic() - began > SLOW
        pong_waiter = await websocket.ping()
        await pong_waiter
        assert websocket.protocol.state is State.OPEN


@in_loop
async def test_a_slow_peer_gets_all_over_tls():
    """From Python 3.11 on, what is unsent below TLS can't be seen in its transport."""

    def behave(sock):
        read_slowly(sock)
        stay_silent(sock)

    with tls_peer(behave) as uri:
        websocket = await connect(
            uri, sock=connected_to(uri), ssl=client_context, compression=None, **KEEPALIVE
        )
        use_small_buffer(websocket)
        began = time.monotonic()
        await websocket.send(bytes(SIZE))
        await websocket.send(bytes(SIZE // 10))
        await websocket.send("")
        assert time.monotonic() - began > SLOW
        assert websocket.protocol.state is State.OPEN
        await free(websocket)


@sides
@in_loop
async def test_a_slow_peer_is_kept_while_more_is_broadcast_than_it_takes(side):
    def behave(sock, over):
        read_slowly(sock)
        stay_silent(sock)

    async with opened(side, behave, **KEEPALIVE) as websocket:
        use_small_buffer(websocket)
        began = time.monotonic()
        sending = asyncio.ensure_future(websocket.send(bytes(SIZE // 2)))
        while time.monotonic() - began < SLOW:
            if websocket.transport.get_write_buffer_size() < SIZE:
                broadcast([websocket], bytes(200_000))
            assert not sending.done()
            await asyncio.sleep(0.02)
        await wait_until(sending.done)
        assert await sending is None
        assert websocket.protocol.state is State.OPEN


KEEPALIVE = {"ping_interval": 0.3, "ping_timeout": 0.3, "close_timeout": 0.1}
SIZE = 6 * 2**20
SLOW = 1.0
"""Seconds that it takes more than to read so much slowly: more than enough to be given up."""


def read_slowly(sock):
    """Read SIZE bytes, or what the handshake has left of them, and return the last of them."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    received, last = 0, b""
    while received < SIZE - 65536:
        last = last[-8:] + sock.recv(65536)
        received += len(last)
        time.sleep(0.012 * len(last) / 65536)
    return last


def use_small_buffer(websocket):
    """And spare the kernel's limit a busy machine: that it counts what is taken is its own."""
    sock = websocket.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    raise_user_timeout(sock)


def raise_user_timeout(sock):
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000)


def pong(received, *, mask):
    """Answer the last ping, of four bytes, which acknowledges those before it."""
    data = received[-4:]
    if not mask:  # it is a client's ping, which is masked
        data = bytes(a ^ b for a, b in zip(data, received[-8:-4]))
    return Frame(Opcode.PONG, data).serialize(mask=mask)


def user_timeout(websocket):
    sock = websocket.transport.get_extra_info("socket")
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


@sides
@pytest.mark.parametrize(
    ("ping_interval", "ping_timeout", "milliseconds"),
    [(20, 20, 40_000), (0.25, 0.5, 750), (20, None, 0), (None, 20, 0)],
)
@needs_user_timeout
@in_loop
async def test_how_long_a_peer_may_take_nothing(side, ping_interval, ping_timeout, milliseconds):
    options = {"ping_interval": ping_interval, "ping_timeout": ping_timeout}
    async with opened(side, holding_open(), **options) as websocket:
        assert user_timeout(websocket) == milliseconds


WITH_USER_TIMEOUT = {"ping_interval": 20, "ping_timeout": 20, "close_timeout": None}


@sides
@needs_user_timeout
@in_loop
async def test_a_closing_connection_has_all_its_time(side):
    async with opened(side, holding_open(), **WITH_USER_TIMEOUT) as websocket:
        closing = asyncio.ensure_future(websocket.close())
        await asyncio.sleep(0)
        assert user_timeout(websocket) == 0
        websocket.transport.abort()
        await closing


@sides
@needs_user_timeout
@in_loop
async def test_a_connection_that_the_peer_closes_has_all_its_time(side):
    async with opened(side, holding_open(close_frame(side)), **WITH_USER_TIMEOUT) as websocket:
        await wait_until(lambda: websocket.protocol.state is State.CLOSING)
        assert user_timeout(websocket) == 0


@sides
@needs_user_timeout
def test_it_has_all_its_time_with_no_other_fix(side, without_shim, monkeypatch):
    monkeypatch.setenv("WEBSOCKETS_CLOSEFIX_SKIP", "asyncio.close_frame")
    websockets_closefix.apply()
    test_a_connection_that_the_peer_closes_has_all_its_time(side)
    websockets_closefix.unapply()


@needs_user_timeout
@in_loop
async def test_what_the_program_has_set_stays():
    with peer(stay_silent) as uri:
        sock = connected_to(uri)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1234)
        websocket = await connect(uri, sock=sock, **WITH_USER_TIMEOUT)
        closing = asyncio.ensure_future(websocket.close())
        await asyncio.sleep(0)
        assert user_timeout(websocket) == 1234
        websocket.transport.abort()
        await closing


@needs_user_timeout
@in_loop
async def test_a_peer_that_takes_nothing_over_tls():
    done = threading.Event()
    with tls_peer(lambda sock: done.wait(PATIENCE)) as uri:
        limits = {"ping_interval": 0.1, "ping_timeout": 0.1, "close_timeout": 0.1}
        websocket = await connect(
            uri, sock=connected_to(uri), ssl=client_context, compression=None, **limits
        )
        sending = [asyncio.ensure_future(keep_sending(websocket)) for _ in range(2)]
        receiving = asyncio.ensure_future(websocket.recv())
        for task in (*sending, receiving):
            with pytest.raises(ConnectionClosedError) as raised:
                await asyncio.wait_for(task, PATIENCE)
            assert isinstance(raised.value.__cause__, (OSError, asyncio.TimeoutError))
        done.set()


@sides
def test_a_peer_that_takes_nothing_after_a_ping(side, without_shim, monkeypatch):
    """Keepalive fails the connection, and waits for room to write without a time limit."""

    @in_loop
    async def block_after_a_ping():
        async with opened(
            side, holding_open(), ping_interval=0.05, ping_timeout=0.3, close_timeout=0.1
        ) as websocket:
            raise_user_timeout(websocket.transport.get_extra_info("socket"))
            await wait_until(lambda: pending_pings(websocket))
            with pytest.raises(ConnectionClosedError) as raised:
                await asyncio.wait_for(keep_sending(websocket), PATIENCE)
            assert raised.value.sent.code == 1011
            assert type(raised.value.__cause__) is asyncio.TimeoutError

    monkeypatch.setenv("WEBSOCKETS_CLOSEFIX_SKIP", "asyncio.close_frame")
    websockets_closefix.apply()
    block_after_a_ping()
    websockets_closefix.unapply()


def pending_pings(websocket):
    up_to_15_0 = hasattr(websocket, "pong_waiters")
    return websocket.pong_waiters if up_to_15_0 else websocket.pending_pings


@can_block_proactor
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
async def test_pings_leave_nothing_behind_on_an_idle_connection():
    """Nothing that lasts for ``ping_timeout``, which is longer than ``ping_interval``."""

    async def receive(websocket):
        await websocket.wait_closed()

    async with serving(serve, receive, ping_interval=None) as (_, uri):
        options = {"ping_interval": 0.01, "ping_timeout": 60, "sock": connected_to(uri)}
        async with connect(uri, **options) as websocket:
            await asyncio.sleep(0.2)
            assert len(timers()) <= 1  # keepalive's own
            assert not websocket.connection_lost_waiter._callbacks


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
