"""websockets.asyncio 13.0 to 17.2: ``recv()`` is cancelled as the next fragment arrives."""

from __future__ import annotations

import asyncio
import contextlib

from websockets.frames import Frame, Opcode

from ..scenario import Scenario
from ._ends import opened
from ._peers import holding_open
from ._running import in_event_loop, observe, wait_until


@in_event_loop
async def recv(side: str) -> BaseException | None:
    """Cancel ``recv()`` of a message in two fragments, then receive it."""
    mask = side == "server"
    first = Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=mask)
    second = Frame(Opcode.CONT, b"b").serialize(mask=mask)

    async def recv_twice() -> None:
        receiving = asyncio.ensure_future(websocket.recv())
        await wait_until(lambda: is_waiting_for_fragment(receiving))
        # Both in one iteration of the event loop, as when a time limit elapses.
        websocket.data_received(second)
        receiving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await receiving
        if await websocket.recv() != "ab":
            raise ValueError("recv() returns something else")

    def is_waiting_for_fragment(receiving: asyncio.Future[object]) -> bool:
        """Tell whether the first fragment was fetched, which nothing but the bytes read shows."""
        protocol, messages = websocket.protocol, websocket.recv_messages
        current = getattr(protocol, "current_size", None) or getattr(protocol, "cur_size", None)
        return bool(current) and not messages.frames.queue and bool(messages.frames.get_waiter)

    async with opened(side, holding_open(first), close_timeout=0.1) as websocket:
        return await observe(websocket, recv_twice())


SCENARIOS = (
    Scenario("asyncio.cancelled_recv", "recv(), cancelled with a fragment", recv, AssertionError),
)
