"""When ``close_timeout`` has elapsed, a connection ends, whatever is unsent, over TLS as well."""

from __future__ import annotations

import asyncio
import time

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.protocol import State

from websockets_closefix._repro.asyncio._ends import opened
from websockets_closefix._repro.asyncio._peers import holding_open
from websockets_closefix._repro.peers import messages

from ...conftest import can_block_proactor
from .running import in_loop

sides = pytest.mark.parametrize("side", ["client", "server"])


@sides
@in_loop
async def test_a_task_in_recv_raises_connection_closed(side):
    """On 13.0 it was an AssertionError."""
    async with opened(side, holding_open(), close_timeout=0.1) as websocket:
        receiving = asyncio.ensure_future(websocket.recv())
        await asyncio.sleep(0)
        await websocket.close()
        with pytest.raises(ConnectionClosedError) as raised:
            await receiving
        assert raised.value.sent.code == 1000
        assert websocket.protocol.state is State.CLOSED


@sides
@in_loop
async def test_messages_that_arrive_after_the_deadline_are_no_error_of_the_loop_s(side):
    def behave(sock, over):
        while not over.wait(0.005):
            sock.sendall(messages(1, mask=side == "server"))

    async with opened(side, behave, close_timeout=0.1) as websocket:
        began = time.monotonic()
        await websocket.close()
        assert time.monotonic() - began < 5


@can_block_proactor
@sides
@in_loop
async def test_keepalive_ends_a_connection_with_data_unsent(side):
    async with opened(
        side, holding_open(), ping_interval=0.1, ping_timeout=0.1, close_timeout=0.1
    ) as websocket:
        while not websocket.transport.get_write_buffer_size():
            await websocket.send(bytes(8000))
            await asyncio.sleep(0)
        with pytest.raises(ConnectionClosedError) as raised:
            await websocket.recv()
        assert raised.value.sent.code == 1011
