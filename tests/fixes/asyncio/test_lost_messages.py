"""What was received before the connection closed can be fetched afterwards, then it is over."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Frame, Opcode

from websockets_closefix._repro.asyncio._ends import opened
from websockets_closefix._repro.asyncio._peers import close_frame, holding_open
from websockets_closefix._repro.asyncio._running import wait_until
from websockets_closefix._repro.peers import messages

from ...conftest import has_bug
from .running import in_loop

sides = pytest.mark.parametrize("side", ["client", "server"])


def closing(side, data):
    def behave(sock, over):
        sock.sendall(data + close_frame(side))
        sock.recv(65536)

    return behave


@sides
@in_loop
async def test_recv_raises_again_and_again_once_all_is_fetched(side):
    behave = closing(side, messages(3, mask=side == "server"))
    async with opened(side, behave) as websocket:
        await websocket.wait_closed()
        for _ in range(3):
            assert await websocket.recv() == "tick"
        for _ in range(3):
            with pytest.raises(ConnectionClosedOK) as raised:
                await websocket.recv()
            assert raised.value.rcvd.code == 1000
        await websocket.close()


@sides
@in_loop
async def test_fragments_of_a_message_one_by_one(side):
    mask = side == "server"
    data = Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=mask)
    data += Frame(Opcode.CONT, b"b").serialize(mask=mask)
    async with opened(side, closing(side, data)) as websocket:
        await websocket.wait_closed()
        assert [each async for each in websocket.recv_streaming()] == ["a", "b"]
        with pytest.raises(ConnectionClosedOK):
            async for _ in websocket.recv_streaming():
                pass


@sides
@in_loop
async def test_iterating_ends(side):
    async with opened(side, closing(side, messages(3, mask=side == "server"))) as websocket:
        await websocket.wait_closed()
        assert [each async for each in websocket] == ["tick"] * 3


@sides
@in_loop
async def test_a_message_that_isn_t_complete_is_left_out(side):
    """The peer breaks off; what waits for the rest is told."""
    data = Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=side == "server")
    async with opened(side, holding_open(data)) as websocket:
        await wait_until(lambda: websocket.recv_messages.frames.queue)
        websocket.transport.abort()
        await websocket.wait_closed()
        with pytest.raises(ConnectionClosedError):
            await websocket.recv()


@has_bug("asyncio.lost_messages")
@in_loop
async def test_a_queue_that_was_empty_is_closed_as_before():
    async with opened("client", holding_open(), close_timeout=0.05) as websocket:
        await websocket.close()
        assert websocket.recv_messages.closed
        assert "get" not in vars(websocket.recv_messages.frames)
