"""
websockets 13.1, 14.0 and 14.1: two threads close at once, and one overtakes the other.

A thread is held between the two lines of ``close_socket`` that ought to be one; the second thread
meets the assertion.

"""

from __future__ import annotations

import threading
from typing import Any

from websockets.exceptions import ConnectionClosedError

from ..peers import stay_silent
from ..scenario import Outcome, Scenario
from .ends import opened
from .holding import logger_that_holds_caller, logger_that_holds_reader
from .observing import observe


def close(side: str) -> Outcome:
    """Make the reader thread meet the assertion."""
    caller_at_eof = threading.Event()
    logger = logger_that_holds_caller(caller_at_eof)
    with opened(side, stay_silent, logger=logger, close_timeout=0.1) as websocket:
        return close_with_caller_held(websocket, caller_at_eof)


def close_with_caller_held(websocket: Any, caller_at_eof: threading.Event) -> Outcome:
    """Close; the caller is held when the stream has ended but the state isn't CLOSED yet."""
    websocket.socket.recv_waits_for = caller_at_eof
    return observe(websocket, websocket.close)


def send(side: str) -> Outcome:
    """Make the caller meet the assertion."""
    reader_at_eof, caller_done = threading.Event(), threading.Event()
    logger = logger_that_holds_reader(reader_at_eof, caller_done)
    with opened(side, stay_silent, logger=logger) as websocket:
        return send_with_reader_held(websocket, reader_at_eof, caller_done)


def send_with_reader_held(
    websocket: Any, reader_at_eof: threading.Event, caller_done: threading.Event
) -> Outcome:
    """
    Fail to send, which shuts the socket down and wakes the reader thread.

    That one is held when the stream has ended but the state isn't CLOSED yet.

    """

    def send() -> None:
        try:
            websocket.send("lost")
        finally:
            caller_done.set()

    websocket.socket.shutdown_waits_for = reader_at_eof
    websocket.socket.sendall_fails = True
    return observe(websocket, send)


SCENARIOS = (
    Scenario("sync.close_race", "close(), the reader thread closes too", close, AssertionError),
    Scenario(
        "sync.close_race",
        "send() fails, the reader thread closes too",
        send,
        AssertionError,
        ConnectionClosedError,
        (BrokenPipeError,),
    ),
)
