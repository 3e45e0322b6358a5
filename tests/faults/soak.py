"""
Kills many connections at random moments, without the shim and with it, and counts what is left.

Run it as ``python -m tests.faults.soak [CONNECTIONS]``; 2,000 of them take half a minute, and those
that hang without the shim as long again.

"""

from __future__ import annotations

import contextlib
import gc
import inspect
import logging
import os
import random
import resource
import select
import socket
import sys
import threading
import time
from collections import Counter

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.sync.connection import Connection

import websockets_closefix
from websockets_closefix._repro import waiting
from websockets_closefix._repro.peers import (
    reset_on_close,
    shake_hands,
    shut_down_and_close,
    stay_silent,
)
from websockets_closefix._repro.sync.ends import open_connection

from ..conftest import count_descriptors
from .bounded import Act, free
from .observe import troubles

CONNECTIONS = 2_000
AT_ONCE = 64
PATIENCE = 120
CLOSE_FRAME = Frame(Opcode.CLOSE, Close(1001, "").serialize()).serialize(mask=False)
MESSAGES = 40 * Frame(Opcode.TEXT, b"unread").serialize(mask=False)  # more than max_queue
BUFFER = 2**12
A_LOT = b"x" * 2**18  # more than buffers of that size take in, at both ends
PING_OPTIONS = inspect.signature(Connection.ping).parameters

WAYS = ["RST", "FIN", "close frame, RST", "close frame, FIN", "silence", "stall", "stream"]

ENDED_WELL = {
    "closed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    # connect(), reset before there was an answer, in the words of each release
    "connect: BrokenPipeError",
    "connect: ConnectionClosedError",
    "connect: ConnectionError",
    "connect: ConnectionResetError",
    "connect: InvalidHandshake",
    "connect: InvalidMessage",
}
# Data that come in while another thread closes, on 13.1, and in a thousand times one since.
EXPECTED_TROUBLE = {"unexpected internal error: EOFError"}


def main(connections=CONNECTIONS):
    logging.getLogger("websockets").addHandler(logging.NullHandler())
    connections = int(connections)
    websockets_closefix.unapply()
    # Shows what there is to be found, as far as chance has it.
    rehearse("without the shim", connections // 10, rounds=2)
    websockets_closefix.apply(strict=True)
    return 0 if rehearse("with the shim", connections, rounds=10) else 1


def rehearse(title, connections, rounds):
    """Print what the connections ended in and what they left; tell whether all is well."""
    before = count_all()
    outcomes, memory = Counter(), []
    with troubles() as found:
        for number in range(rounds):
            outcomes.update(soak(connections // rounds, seed=number))
            gc.collect()
            memory.append(resident_memory())
    after = count_all()
    flat = memory[-1] <= 1.1 * memory[1]  # the first round fills caches and free lists
    ended_well = set(" and ".join(outcomes).split(" and ")) <= ENDED_WELL
    ended_well = ended_well and set(found) <= EXPECTED_TROUBLE
    nothing_lost = sum(outcomes.values()) == connections // rounds * rounds
    good = flat and ended_well and nothing_lost and after == before
    print(f"{title}, {connections} connections, {AT_ONCE} at a time:", end=" ")
    print("nothing leaked, nothing hung" if good else "NOT CLEAN")
    print(f"  callers: {dict(outcomes.most_common())}")
    print(f"  reader threads, internal errors: {dict(Counter(found)) or 'none'}")
    print(f"  threads and file descriptors: {before} before, {after} after")
    print(f"  MiB of resident memory, after each round: {memory}", flush=True)
    return good


def soak(connections, seed):
    """Return what that many connections ended in."""
    outcomes = []
    share = [connections // AT_ONCE + (n < connections % AT_ONCE) for n in range(AT_ONCE)]
    with socket.create_server(("127.0.0.1", 0), backlog=AT_ONCE) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        threads = [
            thread
            for number in range(AT_ONCE)
            for thread in (
                threading.Thread(
                    target=Killer(f"{seed} {number}").serve, args=(listener,), daemon=True
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
        shut_down_and_close(listener)
        for thread in threads:
            thread.join(PATIENCE)
    return outcomes


class Killer:
    """Ends each connection at a moment, and in a way, that nobody foresees."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def serve(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.settimeout(waiting.PATIENCE)
                self.kill(sock)

    def kill(self, sock):
        if self.random.random() < 0.1:
            reset_on_close(sock)
            return
        shake_hands(sock)
        if self.random.random() < 0.3:
            sock.sendall(MESSAGES)
        for _ in range(self.random.randrange(4)):
            sock.recv(65536)
        time.sleep(self.random.random() * 0.005)
        way = self.random.choice(WAYS)
        if way == "silence":
            stay_silent(sock)
        if way == "stall":
            wait_for(sock, select.POLLHUP | select.POLLRDHUP, waiting.PATIENCE)
        if way == "stream":
            stream_until_closed(sock)
        if way.startswith("close frame"):
            sock.sendall(CLOSE_FRAME)
        if way.endswith("RST"):
            reset_on_close(sock)


def stream_until_closed(sock):
    """Send messages until there is a close frame, and answer that, as a server does."""
    protocol = ServerProtocol(state=OPEN)
    while not protocol.close_expected():
        sock.sendall(MESSAGES)
        if wait_for(sock, select.POLLIN, 0.001):
            protocol.receive_data(sock.recv(65536))
    for data in protocol.data_to_send():
        sock.sendall(data)


def wait_for(sock, events, timeout):
    """Wait for events of a socket, the end of its TCP among them, without reading from it."""
    poller = select.poll()
    poller.register(sock, events)
    return poller.poll(1000 * timeout)


def use_many(uri, connections, rng, outcomes):
    for _ in range(connections):
        outcomes.append(use(uri, rng))


def use(uri, rng):
    """Open a connection, use it in a thread that may hang, and say what it ended in."""
    try:
        websocket = open_connection(uri, close_timeout=0.01)
    except (OSError, EOFError, ConnectionClosed, InvalidHandshake, AssertionError) as exc:
        return f"connect: {type(exc).__name__}"
    acts = [Act.started(lambda: use_and_close(websocket, rng.randrange(20), rng))]
    if rng.random() < 0.3:
        acts.append(Act.started(lambda: receive_all(websocket)))
    elif rng.random() < 0.3:
        acts.append(Act.started(lambda: receive_some(websocket)))
    if rng.random() < 0.1:
        with contextlib.suppress(OSError):  # it is closed already
            websocket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        acts.append(Act.started(lambda: websocket.send(A_LOT)))
    hanging = [act for act in acts if act.hangs()]
    websocket.recv_events_thread.join(waiting.PATIENCE)
    if hanging or websocket.recv_events_thread.is_alive():
        free(websocket, acts)
        return "hangs"
    ended = {type(act.exc).__name__ for act in acts if act.exc is not None}
    return " and ".join(sorted(ended)) or "closed"


def use_and_close(websocket, times, rng):
    """Send and ping for a while, and close, in whatever state the connection is."""
    try:
        for _ in range(times):
            if rng.random() < 0.5:
                websocket.send("x")
            else:
                websocket.ping(**{"ack_on_close": True} if "ack_on_close" in PING_OPTIONS else {})
    finally:
        websocket.close()


def receive_all(websocket):
    while True:
        websocket.recv()


def receive_some(websocket):
    """Leave a stream early."""
    for _ in range(3):
        websocket.recv()
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
    raise SystemExit(main(*sys.argv[1:]))
