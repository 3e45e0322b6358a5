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

import websockets_closefix
from websockets_closefix._repro.asyncio._ends import opened
from websockets_closefix._repro.asyncio._running import in_event_loop, wait_until

from .cells import ACTIVITIES, BEFORE, CLOSE_TIMEOUT, FAULTS, MEANWHILE, OPTIONS, cells

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
    async def end(side):
        await end_connection(cell, outcome)

    _, behind = end(cell.side)
    return {**outcome, "behind": name_of(behind) if behind else ""}


async def end_connection(cell, outcome):
    peer_is_there, strike = threading.Event(), threading.Event()

    def behave(sock, over):
        peer_is_there.set()
        sock.sendall(BEFORE.get(cell.meanwhile, lambda side: b"")(cell.side))
        strike.wait(5)
        with contextlib.suppress(OSError):
            FAULTS[cell.fault](sock, cell.side, over)

    options = {"close_timeout": CLOSE_TIMEOUT}
    for name in cell:
        options.update(OPTIONS.get(name, {}))
    async with opened(cell.side, behave, **options) as websocket:
        await wait_until(peer_is_there.is_set)  # it has taken in all of the opening handshake
        if cell.meanwhile in BEFORE:
            await wait_until(lambda: websocket.recv_messages.paused)
        acts = {"": ACTIVITIES[cell.activity], "meanwhile ": MEANWHILE[cell.meanwhile]}
        tasks = {name: asyncio.ensure_future(act(websocket)) for name, act in acts.items() if act}
        strike.set()
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
