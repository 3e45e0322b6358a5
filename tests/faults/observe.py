"""
Breaks connections of the installed websockets, and prints as JSON what each cell ended in.

Run it as ``python -m tests.faults.observe {shim,fix,as-it-is} TIMES``.

"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import logging
import sys
import threading
from functools import partial

import websockets.version
from websockets.exceptions import ConnectionClosed

import websockets_closefix

from .. import upstream
from ..conftest import count_descriptors, ends
from .cells import ACTIVITIES, FAULTS, wait_for_data
from .handshakes import HANDSHAKES
from .links import LINKS, PATIENCE


def main(what, times):
    logging.disable(logging.CRITICAL)
    websockets_closefix.apply() if what == "shim" else websockets_closefix.unapply()
    if what == "fix":
        upstream.cure()
    cells = {}
    for _ in range(int(times)):
        for (fault, side, activity), observe in all_cells():
            with nothing_left_over() as left_over:
                outcome = observe()
            cell = cells.setdefault(f"{fault} | {side} | {activity}", [])
            cell.append({**outcome, "left over": " ".join(left_over)})
    print(json.dumps({"version": websockets.version.version, "cells": cells}))


def all_cells():
    for fault, side, activity in itertools.product(FAULTS, LINKS, ACTIVITIES):
        yield (fault, side, activity), partial(break_it, FAULTS[fault], LINKS[side], activity)
    for (fault, side), fail in HANDSHAKES.items():
        yield (fault, side, "connecting"), partial(fail_to_open, fail)


def break_it(fault, link, activity):
    """Return what came out of the activity, of recv() afterwards, and of the reader thread."""
    caught = [None]
    started = threading.Event()

    def act():
        started.set()
        try:
            ACTIVITIES[activity](connection)
        except Exception as exc:
            caught[0] = exc

    with (
        exceptions_of_threads() as leaked,
        link(secure=fault.secure) as (connection, peer),
        fault.prepare(connection, peer) as strike,
    ):
        actor = threading.Thread(target=act)
        actor.start()
        started.wait(PATIENCE)
        if activity == "closing":
            wait_for_data(peer)  # the close frame; without it the codes would be a matter of luck
        strike()
        actor.join(PATIENCE)
        afterwards = None
        try:
            connection.recv(timeout=PATIENCE)
        except Exception as exc:
            afterwards = exc
        connection.close()
        hangs = actor.is_alive() or connection.recv_events_thread.is_alive()
        state = connection.protocol.state.name
    return {
        **describe(activity, caught[0]),
        **describe("recv() afterwards", afterwards),
        "reader thread": " ".join(leaked),
        "state": state,
        "hangs": hangs,
    }


def fail_to_open(fail):
    """Return what came out of an opening handshake, and of the reader thread."""
    with exceptions_of_threads() as leaked:
        exc, connection = fail()
        connection.recv_events_thread.join(PATIENCE)
        hangs = connection.recv_events_thread.is_alive()
    return {
        **describe("connecting", exc),
        "reader thread": " ".join(leaked),
        "state": connection.protocol.state.name,
        "hangs": hangs,
    }


@contextlib.contextmanager
def exceptions_of_threads():
    """Collect what would reach threading.excepthook."""
    leaked = []
    excepthook = threading.excepthook
    threading.excepthook = lambda args: leaked.append(args.exc_type.__name__)
    try:
        yield leaked
    finally:
        threading.excepthook = excepthook


@contextlib.contextmanager
def nothing_left_over():
    """Add what there is more of afterwards, if there is."""
    threads, descriptors = set(threading.enumerate()), count_descriptors()
    left_over = []
    yield left_over
    for thread in set(threading.enumerate()) - threads:
        left_over += [] if ends(thread) else ["a thread"]
    if count_descriptors() > descriptors:
        gc.collect()
        left_over += ["a file descriptor"] if count_descriptors() > descriptors else []


def describe(what, exc):
    """Reduce an exception to what two releases can be compared by."""
    text = type(exc).__name__
    if isinstance(exc, ConnectionClosed):
        received, sent = (close.code if close else None for close in (exc.rcvd, exc.sent))
        text += f" received {received} sent {sent}"
    cause = exc.__cause__ if exc else None
    return {what: text, f"cause of {what}": type(cause).__name__}


if __name__ == "__main__":
    main(*sys.argv[1:])
