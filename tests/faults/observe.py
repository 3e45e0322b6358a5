"""
Breaks connections of the installed websockets, and prints as JSON what each cell ended in.

Run it as ``python -m tests.faults.observe {shim,fix,as-it-is} TIMES``.

"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import sys
import threading
import time

from websockets.exceptions import ConnectionClosed

import websockets_closefix

from .. import upstream
from ..conftest import count_descriptors, ends
from .activities import ACTIVITIES, MEANWHILE, UNAWARE
from .bounded import PATIENCE, Act, free
from .cells import cells
from .handshakes import HANDSHAKES
from .links import CLOSE_TIMEOUT, LINKS
from .references import documented, is_cured_upstream, seconds_allowed
from .shutdowns import SHUTDOWNS
from .strikes import FAULTS, wait_for_data

A_LITTLE = 0.5
"""Seconds that ending a connection may take on top of ``close_timeout``, on a busy machine."""

SECONDS_FOR_SERVER = 5
"""Seconds for a server to be created, used and shut down; it is in no hurry, but mustn't hang."""


def main(what, times):
    websockets_closefix.apply() if what == "shim" else websockets_closefix.unapply()
    if what == "fix":
        upstream.cure()
    chosen = [cell for cell in cells() if what == "shim" or is_cured_upstream(str(cell))]
    if what == "as-it-is":
        chosen = [cell for cell in cells() if documented(str(cell)) is None]
    found = {str(cell): [] for cell in chosen}
    for _ in range(int(times)):
        for cell in chosen:
            outcomes = found[str(cell)]
            if not any(outcome["hangs"] for outcome in outcomes):  # once is slow enough
                outcomes.append(observe(cell))
    print(json.dumps(found))


def observe(cell):
    """Return what one cell ended in, aspect by aspect."""
    with troubles() as found, nothing_left_over() as left_over:
        end = {"connecting": connect, "shutting down": shut_down}.get(cell.activity, break_it)
        outcome = end(cell)
    return {
        **outcome,
        "internal errors": " ".join(sorted(set(found))),
        "left over": " ".join(left_over),
    }


def break_it(cell):
    """Return what came out of the activity and its company, and of recv() afterwards."""
    fault, meanwhile = FAULTS[cell.fault], MEANWHILE[cell.meanwhile]
    activity = {**ACTIVITIES, **UNAWARE}[cell.activity]
    with (
        LINKS[cell.side](secure=fault.secure, **cell.options) as (connection, peer),
        meanwhile.prepare(connection, peer) as company,
        fault.prepare(connection, peer) as strike,
    ):
        acts = {cell.activity: Act.started(lambda: activity(connection)), **company}
        if cell.activity == "closing":
            wait_for_data(peer)  # the close frame; without it the codes would be a matter of luck
        for act in company.values():
            if act.ident is None:
                act.start()
        struck_at = time.monotonic()
        acts["strike"] = Act.started(strike)
        hanging = [name for name, act in acts.items() if act.hangs()]
        for name, act in (
            ("close() afterwards", connection.close),
            ("recv() afterwards", lambda: receive_all(connection)),
        ):
            acts[name] = Act.started(act)
            hanging += [name] if acts[name].hangs() else []
        connection.recv_events_thread.join(PATIENCE)
        hanging += ["reader thread"] if connection.recv_events_thread.is_alive() else []
        seconds = (acts[cell.activity].ended_at or time.monotonic()) - struck_at
        state = connection.protocol.state.name
        if hanging:
            free(connection, acts.values())
    outcome = {}
    for name, act in acts.items():
        outcome.update(describe(name, act.exc))
    return {
        **outcome,
        "state": state,
        "late": seconds > seconds_allowed(str(cell), CLOSE_TIMEOUT) + A_LITTLE,
        "hangs": ", ".join(hanging),
    }


def receive_all(connection):
    while True:
        connection.recv(timeout=PATIENCE)


def connect(cell):
    """Return what came out of an opening handshake."""
    ended = []
    started_at = time.monotonic()
    fail = Act.started(lambda: ended.extend(HANDSHAKES[cell.fault, cell.side]()))
    if fail.hangs():
        return {"hangs": "connecting"}
    if fail.exc is not None:
        raise fail.exc
    exc, connection = ended
    if connection is None:
        return {**describe("connecting", exc), "state": "CLOSED", "late": False, "hangs": ""}
    connection.recv_events_thread.join(PATIENCE)
    hangs = connection.recv_events_thread.is_alive()
    return {
        **describe("connecting", exc),
        "state": connection.protocol.state.name,
        "late": fail.ended_at - started_at > CLOSE_TIMEOUT + A_LITTLE,
        "hangs": "reader thread" if hangs else "",
    }


def shut_down(cell):
    """Return what came out of a server's shutdown()."""
    started_at = time.monotonic()
    exc, hangs = SHUTDOWNS[cell.fault]()
    return {
        **describe(cell.activity, exc),
        "state": "CLOSED",
        "late": time.monotonic() - started_at > SECONDS_FOR_SERVER,
        "hangs": cell.activity if hangs else "",
    }


@contextlib.contextmanager
def troubles():
    """Collect what would reach threading.excepthook, and what websockets didn't expect."""

    def collect(record):
        if record.levelno >= logging.ERROR and record.exc_info:
            message, kind = record.getMessage(), record.exc_info[0]
            if message in ("unexpected internal error", "keepalive ping failed"):
                found.append(f"{message}: {kind.__name__}")
        return False

    loggers = [logging.getLogger(f"websockets.{side}") for side in LINKS]
    found = []
    excepthook = threading.excepthook
    threading.excepthook = lambda args: found.append(f"in a thread: {args.exc_type.__name__}")
    for logger in loggers:
        logger.addFilter(collect)
    try:
        yield found
    finally:
        threading.excepthook = excepthook
        for logger in loggers:
            logger.removeFilter(collect)


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
