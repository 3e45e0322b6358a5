"""
websockets 13.1, 14.0 and 14.1: two threads close at once, and one overtakes the other.

A thread is held between the two lines of ``close_socket`` that ought to be one; the second thread
meets the assertion.

"""

from __future__ import annotations

import threading
from typing import Any

from websockets.exceptions import ConnectionClosedError

from ..ends import open_connection, opened
from ..holding import HoldingSocket, logger_that_holds_caller, logger_that_holds_reader
from ..observing import observe
from ..peers import stay_silent
from ..scenario import Outcome, Scenario


def close(side: str) -> Outcome:
    """Make the reader thread meet the assertion."""
    caller_at_eof = threading.Event()
    logger = logger_that_holds_caller(caller_at_eof)
    with opened(side, stay_silent, logger=logger, close_timeout=0.1) as websocket:
        return close_held(websocket, caller_at_eof)


def send(side: str) -> Outcome:
    """Make the caller meet the assertion."""
    reader_at_eof, caller_done = threading.Event(), threading.Event()
    logger = logger_that_holds_reader(reader_at_eof, caller_done)
    with opened(side, stay_silent, logger=logger) as websocket:
        return send_torn(websocket, reader_at_eof, caller_done)


def reader_held(uri: str) -> Outcome:
    """As :func:`send`, connecting to a silent peer that is there already."""
    reader_at_eof, caller_done = threading.Event(), threading.Event()
    logger = logger_that_holds_reader(reader_at_eof, caller_done)
    websocket = open_connection(uri, logger=logger, sock=HoldingSocket.connected_to(uri))
    return send_torn(websocket, reader_at_eof, caller_done)


def close_held(websocket: Any, caller_at_eof: threading.Event) -> Outcome:
    """
    Close, the caller being the first to come to the end of the stream.

    ``close()`` gives a silent peer up and is held, inside ``receive_eof()``, when the stream has
    ended but the state isn't CLOSED yet; meanwhile the reader thread closes the socket, too.

    """
    websocket.socket.recv_waits_for = caller_at_eof
    return observe(websocket, websocket.close)


def send_torn(
    websocket: Any, reader_at_eof: threading.Event, caller_done: threading.Event
) -> Outcome:
    """
    Fail to send, once the reader thread is at the end of the stream.

    ``send()`` shuts the socket down, which wakes the reader thread. That one is held when the
    stream has ended but the state isn't CLOSED yet; meanwhile the caller closes the socket.

    """

    def send() -> None:
        try:
            websocket.send("lost")
        finally:
            caller_done.set()

    websocket.socket.shutdown_waits_for = reader_at_eof
    websocket.socket.torn = True
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
