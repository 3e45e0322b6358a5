"""
websockets 17.3 and 17.4: closing a socket doesn't wake a thread that is inside it.

The reader thread is inside ``SSLSocket.recv()``, since half a record has come.

"""

from __future__ import annotations

import contextlib
import queue
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import ConnectionClosedError

from ..logs import quiet_logger
from ..scenario import Hangs, Outcome, Scenario
from ..waiting import PATIENCE, wait_until
from ._connecting import connect_in_vain
from ._tls import Silence, client_that_stops, context, peer_that_stops
from .ends import open_connection, server
from .observing import observe

OPEN_TIMEOUT = 0.3
CLOSE_TIMEOUT = 0.1


def close(side: str) -> Outcome:
    """Close a connection half-way through a record."""
    with opened(side) as (websocket, silence):
        return observe(websocket, websocket.close, free=silence.free)


def recv(side: str) -> Outcome:
    """Wait in ``recv()`` for the rest of the record, while another thread closes."""
    with opened(side) as (websocket, silence):

        def close_while_receiving() -> None:
            wait_until(lambda: websocket.recv_messages.get_in_progress)
            websocket.close()

        return observe(websocket, websocket.recv, close_while_receiving, free=silence.free)


def connect(_: str) -> Outcome:
    """Connect to a server that goes silent half-way through its answer."""
    with peer_that_stops(answer=False) as (uri, silence):
        tls = context(ssl.PROTOCOL_TLS_CLIENT)
        return connect_in_vain(uri, free=silence.free, ssl=tls, open_timeout=OPEN_TIMEOUT)


def opened(side: str) -> contextlib.AbstractContextManager[tuple[Any, Silence]]:
    """Yield one end of a connection, whose reader thread waits for the rest of a record."""
    return {"client": opened_client, "server": opened_server}[side]()


@contextlib.contextmanager
def opened_client() -> Iterator[tuple[Any, Silence]]:
    """Connect to a server that goes silent."""
    with peer_that_stops(answer=True) as (uri, silence):
        websocket = open_connection(
            uri,
            ssl=context(ssl.PROTOCOL_TLS_CLIENT),
            close_timeout=CLOSE_TIMEOUT,
            logger=quiet_logger(),
        )
        try:
            wait_until(lambda: is_receiving(websocket))
            yield websocket, silence
        finally:
            silence.free(websocket)


@contextlib.contextmanager
def opened_server() -> Iterator[tuple[Any, Silence]]:
    """Serve a client that goes silent."""
    handled: queue.SimpleQueue[tuple[Any, threading.Thread]] = queue.SimpleQueue()
    done = threading.Event()

    def handle(websocket: Any) -> None:
        handled.put((websocket, threading.current_thread()))
        done.wait()

    tls = context(ssl.PROTOCOL_TLS_SERVER)
    serving = server(handle, ssl=tls, close_timeout=CLOSE_TIMEOUT, logger=quiet_logger())
    with serving as uri, client_that_stops(uri) as silence:
        websocket, handler = handled.get(timeout=PATIENCE)
        try:
            wait_until(lambda: is_receiving(websocket))
            yield websocket, silence
        finally:
            silence.free(websocket)
            done.set()
            handler.join(PATIENCE)


def is_receiving(websocket: Any) -> bool:
    """Tell whether the reader thread is in ``SSLSocket.recv()`` for a tenth of a second."""
    for _ in range(20):
        frame = sys._current_frames().get(websocket.recv_events_thread.ident)
        if frame is None or frame.f_code.co_filename != ssl.__file__:
            return False
        time.sleep(0.005)
    return True


SCENARIOS = (
    Scenario("sync.socket_shutdown", "close(), half a TLS record has come", close, Hangs),
    Scenario(
        "sync.socket_shutdown",
        "recv(), half a TLS record has come, another thread closes",
        recv,
        Hangs,
        ConnectionClosedError,
        (TimeoutError,),
    ),
    Scenario(
        "sync.socket_shutdown",
        "connect(), half a TLS record has come",
        connect,
        Hangs,
        TimeoutError,
        (type(None),),
        sides=("client",),
    ),
)
