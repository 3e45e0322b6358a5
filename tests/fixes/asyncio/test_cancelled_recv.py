"""Cancelling ``recv()`` loses nothing, whatever arrives at the same time."""

from __future__ import annotations

import asyncio

import pytest
from websockets.frames import Frame, Opcode

from websockets_closefix._repro.asyncio._ends import opened
from websockets_closefix._repro.asyncio._peers import holding_open
from websockets_closefix._repro.asyncio._running import wait_until

from .running import in_loop

sides = pytest.mark.parametrize("side", ["client", "server"])


def frame(side, opcode, data, fin):
    return Frame(opcode, data, fin).serialize(mask=side == "server")


async def receiving_first(websocket, first):
    """Start to receive a message, and return when its first fragment was fetched."""
    receiving = asyncio.ensure_future(websocket.recv())
    await asyncio.sleep(0)
    websocket.data_received(first)
    await wait_until(lambda: not websocket.recv_messages.frames.queue)
    return receiving


@sides
@in_loop
async def test_several_fragments_and_another_message_at_once(side):
    async with opened(side, holding_open()) as websocket:
        receiving = await receiving_first(websocket, frame(side, Opcode.TEXT, b"a", False))
        websocket.data_received(frame(side, Opcode.CONT, b"b", False))
        websocket.data_received(frame(side, Opcode.CONT, b"c", True))
        websocket.data_received(frame(side, Opcode.TEXT, b"next", True))
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        assert await websocket.recv() == "abc"
        assert await websocket.recv() == "next"


@sides
@in_loop
async def test_nothing_has_arrived(side):
    async with opened(side, holding_open()) as websocket:
        receiving = await receiving_first(websocket, frame(side, Opcode.TEXT, b"a", False))
        await asyncio.sleep(0)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving
        websocket.data_received(frame(side, Opcode.CONT, b"b", True))
        assert await websocket.recv() == "ab"


@sides
@in_loop
async def test_time_limits_all_along_a_message(side):
    """Each fragment arrives in the iteration in which a limit elapses, or beside it."""
    async with opened(side, holding_open()) as websocket:
        data = [b"%d," % number for number in range(50)]
        for number, each in enumerate(data):
            opcode = Opcode.CONT if number else Opcode.TEXT
            receiving = asyncio.ensure_future(websocket.recv())
            for _ in range(number % 3):
                await asyncio.sleep(0)
            websocket.data_received(frame(side, opcode, each, False))
            for _ in range(number % 2):
                await asyncio.sleep(0)
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving
        websocket.data_received(frame(side, Opcode.CONT, b"end", True))
        assert await websocket.recv() == b"".join(data).decode() + "end"
