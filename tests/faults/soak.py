"""
Kills many connections at random moments, without the shim and with it, and counts what is left.

Run it as ``python -m tests.faults.soak``; it takes a minute or two.

"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import random
import resource
import socket
import threading
import time
from collections import Counter

from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import connect

import websockets_closefix
from websockets_closefix import _provoke

from ..conftest import count_descriptors
from .observe import exceptions_of_threads

CONNECTIONS = 10_000
AT_ONCE = 64
ROUNDS = 10  # memory is looked at after each
PATIENCE = 60
CLOSE_FRAME = Frame(Opcode.CLOSE, Close(1001, "").serialize()).serialize(mask=False)


def main():
    logging.disable(logging.CRITICAL)
    print(f"{CONNECTIONS} connections, {AT_ONCE} at a time")
    websockets_closefix.unapply()
    rehearse("without the shim")  # shows what there is to be found, as far as chance has it
    websockets_closefix.apply(strict=True)
    return 0 if rehearse("with the shim") else 1


def rehearse(title):
    """Print what the connections ended in and what they left; tell whether all is well."""
    before = count_all()
    outcomes, memory = Counter(), []
    with exceptions_of_threads() as leaked:
        for number in range(ROUNDS):
            outcomes.update(soak(CONNECTIONS // ROUNDS, seed=number))
            gc.collect()
            memory.append(resident_memory())
    after = count_all()
    flat = memory[-1] <= 1.1 * memory[1]  # the first round fills caches and free lists
    ended_well = set(outcomes) <= {"closed", "ConnectionClosedError", "ConnectionClosedOK"}
    nothing_lost = sum(outcomes.values()) == CONNECTIONS
    good = flat and ended_well and nothing_lost and not leaked and after == before
    print(f"{title}: {'nothing leaked, nothing hung' if good else 'NOT CLEAN'}")
    print(f"  callers: {dict(outcomes.most_common())}")
    print(f"  exceptions in reader threads: {dict(Counter(leaked)) or 'none'}")
    print(f"  threads and file descriptors: {before} before, {after} after")
    print(f"  MiB of resident memory, after each tenth: {memory}", flush=True)
    return good


def soak(connections, seed):
    """Return what that many connections ended in."""
    outcomes = []
    share = [connections // AT_ONCE + (n < connections % AT_ONCE) for n in range(AT_ONCE)]
    with socket.create_server(("127.0.0.1", 0), backlog=AT_ONCE) as listener:
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        threads = [
            thread
            for number in range(AT_ONCE)
            for thread in (
                threading.Thread(
                    target=_provoke.serve_one_by_one,
                    args=(listener, Killer(f"{seed} {number}")),
                    daemon=True,
                ),
                threading.Thread(
                    target=use_many,
                    args=(uri, share[number], random.Random(f"{number} {seed}"), outcomes),
                    daemon=True,
                ),
            )
        ]
        for thread in threads:
            thread.start()
        for user in threads[1::2]:
            user.join(PATIENCE)
        _provoke.hang_up(listener)
        for thread in threads:
            thread.join(PATIENCE)
    return outcomes


class Killer:
    """Ends each connection at a moment, and in a way, that nobody foresees."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def __call__(self, sock):
        for _ in range(self.random.randrange(4)):
            sock.recv(65536)
        time.sleep(self.random.random() * 0.005)
        way = self.random.choice(["RST", "FIN", "close frame, RST", "close frame, FIN", "silence"])
        if way == "silence":
            _provoke.stay_silent(sock)
        if way.startswith("close frame"):
            sock.sendall(CLOSE_FRAME)
        if way.endswith("RST"):
            _provoke.reset_on_close(sock)


def use_many(uri, connections, rng, outcomes):
    for _ in range(connections):
        try:
            use_one(uri, rng)
            outcomes.append("closed")
        except Exception as exc:
            outcomes.append(type(exc).__name__)


def use_one(uri, rng):
    """Send, receive and ping for a while, and close."""
    websocket = connect(uri, close_timeout=0.01)
    try:
        for _ in range(rng.randrange(20)):
            act = rng.choice(["send", "ping", "receive"])
            if act == "send":
                websocket.send("x")
            elif act == "ping":
                websocket.ping()
            else:
                with contextlib.suppress(TimeoutError):
                    websocket.recv(timeout=rng.random() * 0.003)
    except ConnectionClosed:
        websocket.close()
        raise
    websocket.close()


def count_all():
    return threading.active_count(), count_descriptors()


def resident_memory():
    """Return MiB; the peak where there is no /proc."""
    try:
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[1])
    except FileNotFoundError:
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1)
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


if __name__ == "__main__":
    raise SystemExit(main())
