"""
Prints how ConnectionPool compares to other pools over the same connections, in ratios.

Run it as ``python -m tests.benchmarks.pool``; it needs pyperf, psycopg_pool and psycopg[binary].
The pools take turns with the same server, another process: a ratio is requests a second of
ConnectionPool divided by the other's in the same round.

"""

from __future__ import annotations

import argparse
import contextlib
import logging
import queue
import statistics
import subprocess
import sys
import threading
import time

import psycopg_pool
from websockets.sync.client import connect

from websockets_closefix.resilience import ConnectionPool

from .__main__ import ROW, print_ratios

SIZE = 4
THREADS = (1, 4, 16, 64)
BUDGET = ">= 0.8"

SERVER = """
import asyncio, sys
from websockets.asyncio.server import serve

async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)

async def main():
    async with serve(echo, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


class Queue:
    """The least that there can be: connections in a LifoQueue."""

    def __init__(self, uri):
        self.connections = queue.LifoQueue()
        for _ in range(SIZE):
            self.connections.put(connect(uri, compression=None).__enter__())

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        for _ in range(SIZE):
            self.connections.get().close()

    @contextlib.contextmanager
    def connection(self):
        websocket = self.connections.get()
        try:
            yield websocket
        finally:
            self.connections.put(websocket)


class Connection:
    """What psycopg_pool wants of a connection."""

    transaction_status = 0  # idle

    def __init__(self, websocket):
        self.websocket, self.pgconn, self.closed, self._pool = websocket, self, False, None
        self.send, self.recv = websocket.send, websocket.recv

    @classmethod
    def connect(cls, uri, **kwargs):
        return cls(connect(uri, compression=None).__enter__())

    def close(self):
        self.websocket.close()
        self.closed = True

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass


def psycopg(uri):
    sizes = {"min_size": SIZE, "max_size": SIZE}
    return psycopg_pool.ConnectionPool(uri, connection_class=Connection, open=True, **sizes)


def ours(uri, max_size=SIZE):
    return ConnectionPool(uri, max_size=max_size, compression=None)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pool", description=__doc__)
    parser.add_argument("--rounds", metavar="N", type=int, default=15)
    parser.add_argument("--seconds", metavar="S", type=float, default=0.5, help="of each turn")
    arguments = parser.parse_args(argv)
    logging.disable(logging.CRITICAL)
    print(ROW("pair", "median", "quartiles", "budget"))
    with serving() as uri, contextlib.ExitStack() as stack:
        pools = {
            "ConnectionPool": ours(uri),
            "psycopg_pool": psycopg(uri),
            "LifoQueue": Queue(uri),
            "max_size=65536": ours(uri, max_size=65536),
        }
        for pool in pools.values():
            stack.enter_context(pool)
        for threads in THREADS:
            measure(pools, threads, arguments)


def measure(pools, threads, arguments):
    """Let pools take turns, and print the ratios of each to the first, and how fair that is."""
    rates, fairness = {name: [] for name in pools}, []
    for number in range(arguments.rounds):
        for name in list(pools)[:: 1 if number % 2 else -1]:  # so that each is first now and then
            served, elapsed = serve(pools[name], threads, arguments.seconds)
            rates[name].append(sum(served) / elapsed)
            if name == "ConnectionPool":
                fairness.append(min(served) / max(served))
    ours, *others = rates
    for name in others:
        ratios = [a / b for a, b in zip(rates[ours], rates[name])]
        budget = BUDGET if name == "psycopg_pool" else None
        print_ratios(f"{threads} thread(s): {ours} / {name}", ratios, budget)
    print_ratios(f"{threads} thread(s): served least / most", fairness, ">= 0.5")
    rate = statistics.median(rates[ours])
    print(f"{threads} thread(s): {rate:.0f} requests a second", flush=True)


def serve(pool, threads, seconds):
    """Return how many requests each thread made, and in how many seconds."""

    def work(number):
        begin.wait()
        while time.perf_counter() < stop:
            with pool.connection() as websocket:
                websocket.send("hello")
                websocket.recv()
            served[number] += 1

    with contextlib.ExitStack() as stack:
        for _ in range(min(SIZE, threads)):  # which opens them
            stack.enter_context(pool.connection())
    served, begin, stop = [0] * threads, threading.Event(), 0.0
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    started = time.perf_counter()
    stop = started + seconds
    begin.set()
    for worker in workers:
        worker.join()
    return served, time.perf_counter() - started


@contextlib.contextmanager
def serving():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SERVER], **pipes) as process:
        yield f"ws://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


if __name__ == "__main__":
    main()
