"""Tasks that wait for room to write wait one after the other, as on 15.0.1."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.frames import Frame, Opcode

from websockets_closefix._repro.asyncio._peers import holding_open
from websockets_closefix._repro.asyncio._running import wait_until
from websockets_closefix._repro.legacy.drain_lock import is_blocked, keep_sending, opened

from ...conftest import has_bug
from ..asyncio.running import in_loop

sides = pytest.mark.parametrize("side", ["client", "server"])


@sides
@in_loop
async def test_a_slow_peer_gets_what_several_tasks_send(side):
    received = bytearray()

    def behave(sock, over):
        time.sleep(0.2)
        while not is_close_frame(received[-8:], side) and (data := sock.recv(65536)):
            received.extend(data)

    async with opened(side, behave, close_timeout=10) as websocket:
        message = bytes(2**20)
        await asyncio.gather(*(websocket.send(message) for _ in range(8)))
        assert not websocket._paused
        await websocket.close()
        assert len(received) > 8 * 2**20 - 65536  # the handshake may have taken some


def is_close_frame(data, side):
    return data.startswith(b"\x88\x82") if side == "client" else data.endswith(b"\x88\x02\x03\xe8")


@sides
@in_loop
async def test_pongs(side):
    """A task of websockets' own writes them."""
    pings = Frame(Opcode.PING, b"").serialize(mask=side == "server") * 3
    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        sending = asyncio.ensure_future(keep_sending(websocket))
        await wait_until(lambda: is_blocked(websocket))
        websocket.data_received(pings)
        await asyncio.sleep(0.05)
        assert not websocket.transfer_data_task.done()
        await websocket.close()
        with pytest.raises(ConnectionClosedError):
            await sending


@sides
@in_loop
async def test_keepalive(side):
    async with opened(
        side, holding_open(), ping_interval=0.05, ping_timeout=0.05, close_timeout=0.1
    ) as websocket:
        sending = asyncio.ensure_future(keep_sending(websocket))
        await wait_until(lambda: is_blocked(websocket))
        await asyncio.sleep(0.1)
        assert not websocket.keepalive_ping_task.done()
        await websocket.close()
        with pytest.raises(ConnectionClosedError):
            await sending


@sides
@in_loop
async def test_cancelling_one_of_them(side):
    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        sending = [asyncio.ensure_future(keep_sending(websocket)) for _ in range(3)]
        await wait_until(lambda: is_blocked(websocket))
        await asyncio.sleep(0.01)
        for task in sending[:2]:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not sending[2].done()
        await websocket.close()
        with pytest.raises(ConnectionClosed):
            await sending[2]


@has_bug("legacy.drain_lock")
@in_loop
async def test_a_connection_that_is_never_paused_isn_t_changed():
    async with opened("client", holding_open(), close_timeout=0.05) as websocket:
        await websocket.send("")
        assert "_drain_helper" not in vars(websocket)
        await websocket.close()


@has_bug("legacy.drain_lock")
@in_loop
async def test_the_lock_keeps_no_hold_of_its_connection():
    async with opened("client", holding_open(), close_timeout=0.05) as websocket:
        sending = asyncio.ensure_future(keep_sending(websocket))
        await wait_until(lambda: is_blocked(websocket))
        await websocket.close()
        await asyncio.wait([sending])
        sending.exception()
        drain_helper = vars(websocket)["_drain_helper"]
    assert drain_helper.args[0] == weakref.ref(websocket)
    assert not any(each is websocket for each in gc.get_referents(drain_helper, *drain_helper.args))
