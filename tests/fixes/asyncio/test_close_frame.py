"""The deadline for the end of TCP is watched, whatever waits for it, and cuts nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
import warnings
import weakref

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.protocol import State

import websockets_closefix
from websockets_closefix._repro.asyncio._ends import connected_to, opened
from websockets_closefix._repro.asyncio._peers import close_frame, holding_open
from websockets_closefix._repro.asyncio._running import wait_until
from websockets_closefix._repro.peers import messages, peer

from ...conftest import bugs_of_the_release
from .running import in_loop, timers

sides = pytest.mark.parametrize("side", ["client", "server"])


@sides
@in_loop
async def test_nothing_has_to_wait_for_it(side):
    async with opened(side, holding_open(close_frame(side)), close_timeout=0.05) as websocket:
        await asyncio.wait_for(asyncio.shield(websocket.connection_lost_waiter), 5)
        assert websocket.protocol.state is State.CLOSED


@sides
@in_loop
async def test_an_orderly_close_isn_t_cut(side):
    """It takes less than ``close_timeout``: no cause, and no timer that is left."""

    def behave(sock, over):
        sock.sendall(messages(5, mask=side == "server") + close_frame(side))
        sock.recv(65536)
        time.sleep(0.1)

    async with opened(side, behave, close_timeout=5) as websocket:
        for _ in range(5):
            await websocket.recv()
        with pytest.raises(ConnectionClosedOK) as raised:
            await websocket.recv()
        assert raised.value.__cause__ is None
        await asyncio.sleep(0)
        assert timers() == []


@sides
@in_loop
async def test_messages_before_it_that_are_unread_aren_t_lost(side):
    """Not even where reading is paused, so that the end of TCP can't be seen."""
    data = messages(400, mask=side == "server") + close_frame(side)
    async with opened(side, holding_open(data), close_timeout=0.05) as websocket:
        await asyncio.sleep(0.2)
        received = 0
        with contextlib.suppress(ConnectionClosed):
            while True:
                await websocket.recv()
                received += 1
        assert received == 400


@sides
@pytest.mark.parametrize("close_timeout", [0, 0.01])
@in_loop
async def test_nothing_is_polled_while_messages_are_unread(side, close_timeout):
    data = messages(400, mask=side == "server") + close_frame(side)
    async with opened(side, holding_open(data), close_timeout=close_timeout) as websocket:
        await wait_until(lambda: websocket.protocol.state is State.CLOSING)
        await asyncio.sleep(0.05)
        assert websocket.recv_messages.paused
        assert timers() == []


@in_loop
async def test_a_connection_that_is_forgotten_with_messages_unread_is_freed():
    """Its user's task was cancelled, perhaps."""
    data = messages(400, mask=False) + close_frame("client")
    over = threading.Event()
    with peer(lambda sock: holding_open(data)(sock, over)) as uri:
        websocket = await connect(
            uri, sock=connected_to(uri), close_timeout=0.01, ping_interval=None
        )
        reference = weakref.ref(websocket)
        await wait_until(lambda: reference().recv_messages.paused)
        await asyncio.sleep(0.05)
        del websocket
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # its transport is unclosed
            gc.collect()
        assert reference() is None
        over.set()


@sides
@pytest.mark.skipif(
    "asyncio.lost_messages" not in bugs_of_the_release(), reason="this release loses no messages"
)
def test_no_more_messages_are_lost_where_some_are(side, monkeypatch, without_shim):
    """What is lost when the end is seen isn't lost before."""
    monkeypatch.setenv("WEBSOCKETS_CLOSEFIX_SKIP", "asyncio.lost_messages")
    websockets_closefix.apply()
    data = messages(400, mask=side == "server") + close_frame(side)

    @in_loop
    async def receive():
        async with opened(side, holding_open(data), close_timeout=0.05) as websocket:
            await asyncio.sleep(0.2)
            for _ in range(390):
                await websocket.recv()

    receive()
    websockets_closefix.unapply()


@sides
@in_loop
async def test_without_a_close_timeout_it_is_waited_for(side):
    async with opened(side, holding_open(close_frame(side)), close_timeout=None) as websocket:
        receiving = asyncio.ensure_future(websocket.recv())
        await asyncio.wait([receiving], timeout=0.2)
        assert not receiving.done()
        websocket.transport.abort()
        with pytest.raises(ConnectionClosedOK):
            await receiving


@sides
@in_loop
async def test_the_protocol_is_as_before_once_it_is_over(side):
    async with opened(side, holding_open(close_frame(side)), close_timeout=0.05) as websocket:
        await websocket.wait_closed()
        assert "discard" not in vars(websocket.protocol)


@sides
@in_loop
async def test_connections_from_before_obey_unapply(side):
    async with opened(side, holding_open(), close_timeout=0.05) as websocket:
        websockets_closefix.unapply()
        websocket.data_received(close_frame(side))
        await asyncio.sleep(0.2)
        assert websocket.protocol.state is State.CLOSING
        websockets_closefix.apply()
