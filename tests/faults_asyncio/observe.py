"""
Puts connections of the installed release through the cells, and prints what was seen as JSON.

Run it as ``python -m tests.faults_asyncio.observe {shim,as-it-is} TIMES``.

"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time

from websockets.asyncio.server import serve

import websockets_closefix
from websockets_closefix._repro.asyncio._ends import client_of, opened, serving
from websockets_closefix._repro.asyncio._running import in_event_loop, wait_until
from websockets_closefix._repro.logs import quiet_logger

from .cells import ACTIVITIES, BEFORE, FAULTS, MEANWHILE, SERVER_ENDS, cells

WRITE_LIMIT = 2**15
"""Bytes beyond which ``send()`` waits."""

HANG = 3.0
LATE = 1.5
"""Seconds after which an end is late: keepalive takes some of its own before ``close_timeout``."""


def main(what, times):
    websockets_closefix.apply() if what == "shim" else websockets_closefix.unapply()
    seen = {str(cell): [observe(cell) for _ in range(int(times))] for cell in cells()}
    json.dump(seen, sys.stdout)


def observe(cell):
    """Return what becomes of one connection, by aspect."""
    outcome = {}

    @in_event_loop
    async def end_it(side):
        end = close_server if cell.meanwhile in SERVER_ENDS else end_connection
        await end(cell, outcome)

    _, behind = end_it(cell.side)
    return {**outcome, "behind": name_of(behind) if behind else ""}


async def end_connection(cell, outcome):
    peer = Peer(cell)
    async with opened(cell.side, peer.behave, **cell.options) as websocket:
        await wait_until(peer.is_there)
        if cell.meanwhile in BEFORE:
            await wait_until(lambda: websocket.recv_messages.paused)
        using = asyncio.ensure_future(ACTIVITIES[cell.activity](websocket))
        if cell.activity == "sending much":
            await wait_until_blocked(websocket, using)
        tasks = {"": using}
        if MEANWHILE[cell.meanwhile]:
            tasks["meanwhile "] = asyncio.ensure_future(MEANWHILE[cell.meanwhile](websocket))
        peer.strike.set()
        await wait_for_end(websocket, tasks, outcome)


async def close_server(cell, outcome):
    """End the connection by closing its server, whose handler does what it is used for."""

    async def handle(websocket):
        await wait_until(peer.is_there)
        using = asyncio.ensure_future(ACTIVITIES[cell.activity](websocket))
        handled.set_result((websocket, using))
        await asyncio.wait([using])

    peer = Peer(cell)
    handled = asyncio.get_running_loop().create_future()
    options = {"logger": quiet_logger(), "ping_interval": None, "compression": None}
    async with (
        serving(serve, handle, **{**options, **cell.options}) as (server, uri),
        client_of(uri, peer.behave),
    ):
        websocket, using = await handled
        if cell.activity == "sending much":
            await wait_until_blocked(websocket, using)
        peer.strike.set()
        closing = asyncio.ensure_future(SERVER_ENDS[cell.meanwhile](server))
        await wait_for_end(websocket, {"": using, "meanwhile ": closing}, outcome)


class Peer:
    """The other end, which strikes when it is told to."""

    def __init__(self, cell):
        self.cell = cell
        self.strike = threading.Event()
        self.has_shaken_hands = threading.Event()
        self.is_there = self.has_shaken_hands.is_set  # what was sent before may be lost

    def behave(self, sock, over):
        self.has_shaken_hands.set()
        sock.sendall(BEFORE.get(self.cell.meanwhile, lambda side: b"")(self.cell.side))
        self.strike.wait(5)
        with contextlib.suppress(OSError):
            FAULTS[self.cell.fault](sock, self.cell.side, over)


async def wait_until_blocked(websocket, sending):
    """Wait until ``send()`` does, for the peer reads nothing yet; keepalive may have ended it."""
    buffered = websocket.transport.get_write_buffer_size
    await wait_until(lambda: buffered() > WRITE_LIMIT or sending.done())


async def wait_for_end(websocket, tasks, outcome):
    """Note what becomes of a connection and of the tasks that use it."""
    began = time.monotonic()
    _, pending = await asyncio.wait(tasks.values(), timeout=HANG)
    outcome["late"] = time.monotonic() - began > LATE
    outcome["hangs"] = ", ".join(sorted(n or "it" for n, t in tasks.items() if t in pending))
    outcome["state"] = websocket.protocol.state.name
    outcome["received"] = code_of(websocket.protocol.close_rcvd)
    outcome["sent"] = code_of(websocket.protocol.close_sent)
    websocket.transport.abort()
    await asyncio.wait(tasks.values(), timeout=1)
    for name, task in tasks.items():
        outcome.update(describe(name, task))


def describe(name, task):
    """Say what came out of a task."""
    if not task.done():
        task.cancel()
        return {}
    exc = task.exception()
    return {f"{name}raises": name_of(exc)}


def code_of(close):
    return close and close.code


def name_of(exc):
    return type(exc).__name__


if __name__ == "__main__":
    main(*sys.argv[1:])
