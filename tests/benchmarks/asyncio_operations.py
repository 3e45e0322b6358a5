"""
What a program does with a connection of ``websockets.asyncio``, in two processes that take turns.

Client and server are in one event loop, so that the CPU's time is what an operation costs.

"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

from ..releases import release_in


class Operation(NamedTuple):
    """What is timed, how often in a turn, and what it may cost."""

    title: str
    batch: int
    budget: str


OPERATIONS = {
    "echo": Operation("asyncio, echo round trip", 1000, "1.02"),
    "connect": Operation("asyncio, connect, echo, close", 50, "1.05"),
    "many": Operation("asyncio, 100 connections at once", 1, "1.02"),
}
RELEASES = ("14.1", "17.4")


def pairs(rounds, releases):
    """Yield what each pair is called, the ratios of its rounds, and its budget."""
    for name, operation in OPERATIONS.items():
        for version in RELEASES:
            environ = release_in(str(releases / version))
            with worker(name, "off", environ) as off, worker(name, "on", environ) as on:
                ratios = [ratio(on, off, operation.batch, turn) for turn in range(rounds)]
            yield f"{operation.title}, {version}: shim / none", ratios, operation.budget


def ratio(on, off, batch, turn):
    """Time both, the one first and the other first by turns."""
    times = {each: time_batch(each, batch) for each in ((on, off) if turn % 2 else (off, on))}
    return times[on] / times[off]


@contextlib.contextmanager
def worker(operation, shim, environ):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.asyncio_operations", operation, shim],
        env={**os.environ, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            time_batch(process, 10)  # warms it up
            yield process
        finally:
            process.stdin.close()


def time_batch(process, count):
    """Have a worker do it ``count`` times, and return the median of the CPU's seconds it took."""
    print(count, file=process.stdin, flush=True)
    return float(process.stdout.readline())


# In the worker's process.


async def work(operation, shim):
    import websockets_closefix

    websockets_closefix.apply() if shim == "on" else websockets_closefix.unapply()
    from websockets.asyncio.server import serve

    async with serve(echo, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connect(uri) as websocket:
            subject = websocket if operation == "echo" else uri
            for line in sys.stdin:
                times = [await TIMERS[operation](subject) for _ in range(int(line))]
                print(statistics.median(times), flush=True)


def connect(uri):
    from websockets.asyncio.client import connect

    has_proxy = "proxy" in inspect.signature(connect).parameters
    return connect(uri, **({"proxy": None} if has_proxy else {}))


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def time_echo(websocket):
    started = time.process_time()
    await websocket.send("hello")
    await websocket.recv()
    return time.process_time() - started


async def time_connect(uri):
    started = time.process_time()
    async with connect(uri) as websocket:
        await websocket.send("hello")
        await websocket.recv()
    return time.process_time() - started


async def time_many(uri):
    started = time.process_time()
    await asyncio.gather(*(time_connect(uri) for _ in range(100)))
    return time.process_time() - started


TIMERS = {"echo": time_echo, "connect": time_connect, "many": time_many}


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
