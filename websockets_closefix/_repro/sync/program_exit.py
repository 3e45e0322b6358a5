"""websockets 11.0 to 12.0: the interpreter waits for the reader thread of an open connection."""

from __future__ import annotations

import threading

from .. import waiting
from ..peers import stay_silent
from ..scenario import Hangs, Outcome, Scenario
from .ends import opened
from .observing import has_ended, observe


def end_program(side: str) -> Outcome:
    """Do what the interpreter does at a program's end, while a connection is open."""
    with opened(side, stay_silent) as websocket:

        def wait_for_threads() -> None:
            reader: threading.Thread = websocket.recv_events_thread
            if not reader.daemon and not has_ended(reader, waiting.HANG / 2):
                raise Hangs

        return observe(websocket, wait_for_threads)


SCENARIOS = (
    Scenario("sync.program_exit", "the program's end, a connection is open", end_program, Hangs),
)
