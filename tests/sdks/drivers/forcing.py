"""
What the drivers share: forces a bug in a connection that an SDK opened, and prints what came out.

SDKs hand neither a socket nor a logger on to websockets. So ``socket.create_connection()`` returns
a socket that can hold a thread, and a filter on the logger of websockets' clients holds one at the
end of the stream. Of websockets_closefix only ``_repro`` is imported, by itself: importing the
package would be the cure.

"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Iterable, Iterator
from pathlib import Path
from typing import Any, Callable

from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

sys.path.append(str(Path(__file__).parents[3] / "websockets_closefix"))
from _repro import peers
from _repro.peers import stay_silent
from _repro.scenario import Hangs, Outcome
from _repro.sync.holding import (
    HOLD,
    HoldingSocket,
    logger_that_holds_caller,
    logger_that_holds_reader,
)
from _repro.sync.observing import is_waiting_for_recv, observe, thread_exceptions
from _repro.waiting import PATIENCE, wait_until

CLOSE_TIMEOUT = 0.1
"""Seconds that websockets gives a peer that doesn't answer the close frame; no SDK lets us say."""

MANY = 400
"""Messages, of any size: more than websockets keeps on any release."""

Act = Callable[[], object]
create_connection = socket.create_connection
opened: list[Any] = []
logger = logging.getLogger("websockets.client")


def holding_connection(*args: Any, **kwargs: Any) -> socket.socket:
    """Connect a socket that can hold a thread."""
    return HoldingSocket(fileno=create_connection(*args, **kwargs).detach())


def remember_connection(record: Any) -> bool:
    """Keep the connection that logs a record; the record itself is dropped."""
    websocket = getattr(record, "websocket", None)
    if websocket is not None and websocket not in opened:
        opened.append(websocket)
    return False


socket.create_connection = holding_connection
logger.setLevel(logging.DEBUG)
for proxy in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[proxy]


def connection() -> Any:
    """Return the connection that the SDK opened."""
    [websocket] = opened
    websocket.close_timeout = CLOSE_TIMEOUT
    return websocket


def overtaken_in_send(send: Act) -> Outcome:
    """Issue 1558: a send through a torn socket, the reader thread closing at the same time."""
    reader_at_eof, caller_done = threading.Event(), threading.Event()

    def send_and_say_so() -> None:
        try:
            send()
        finally:
            caller_done.set()

    websocket = connection()
    logger.filters[:0] = logger_that_holds_reader(reader_at_eof, caller_done).filters
    websocket.socket.shutdown_waits_for = reader_at_eof
    websocket.socket.sendall_fails = True
    return observe(websocket, send_and_say_so)


def overtaken_in_close(close: Act) -> Outcome:
    """Issue 1558: a close that the peer doesn't answer, the reader thread closing too."""
    caller_at_eof = threading.Event()
    websocket = connection()
    logger.filters[:0] = logger_that_holds_caller(caller_at_eof).filters
    websocket.socket.recv_waits_for = caller_at_eof
    return observe(websocket, close)


def torn_while_receiving(send: Act, *receive: Act) -> Outcome:
    """Issue 1449: a send through a torn socket while another thread waits in ``recv()``."""
    websocket = connection()

    def send_torn() -> None:
        wait_until(lambda: websocket.recv_messages.get_in_progress)
        websocket.socket.recv_waits_for = threading.Event()  # in vain, so that recv() is faster
        websocket.socket.sendall_fails = True
        send()
        websocket.recv_events_thread.join(PATIENCE)  # an SDK may leave it to a thread to send

    return observe(websocket, *receive, send_torn)


def left_unread(close: Act) -> Outcome:
    """Issues 1336 and 1555: a close while the reader thread waits for messages to be read."""
    websocket = connection()
    wait_until(lambda: is_waiting_for_recv(websocket))
    return observe(websocket, close)


def with_ping_pending(close: Act) -> Outcome:
    """Issue 1662: a close after keepalive's ping, the reader thread closing at the same time."""
    websocket = connection()
    waiter = websocket.ping(ack_on_close=True)  # as keepalive does every 20 s
    set_waiter, is_held = waiter.set, threading.Event()

    def set_and_hold() -> None:
        set_waiter()
        if not is_held.is_set():
            is_held.set()
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: not websocket.pong_waiters, HOLD)

    waiter.set = set_and_hold
    return observe(websocket, close)


async def left_unread_by_task(leave: Awaitable[object]) -> Outcome:
    """Issue 1555: the same in websockets.asyncio, without a time limit, which would end it."""
    connection().close_timeout = None
    await asyncio.sleep(0.1)  # until so much is unread that reading is paused
    leaving = asyncio.ensure_future(leave)
    await asyncio.wait([leaving], timeout=PATIENCE)
    if leaving.done():
        return Outcome(leaving.exception(), None)
    leaving.cancel()
    return Outcome(Hangs(), None)


@contextlib.contextmanager
def peer(*messages: object) -> Iterator[str]:
    """Run a server that sends messages, bytes or anything as JSON, and then stays silent."""

    def send_and_stay_silent(sock: socket.socket) -> None:
        sock.sendall(serialize(messages))
        stay_silent(sock)

    with peers.peer(send_and_stay_silent) as uri:
        yield uri


@contextlib.contextmanager
def answering_peer(*messages: object) -> Iterator[str]:
    """Run a server that sends messages, and answers the close frame that comes next."""

    def send_and_answer(sock: socket.socket) -> None:
        sock.sendall(serialize(messages))
        protocol = ServerProtocol(state=OPEN)
        while not protocol.close_expected():
            protocol.receive_data(sock.recv(65536))
        for data in protocol.data_to_send():
            sock.sendall(data)

    with peers.peer(send_and_answer) as uri:
        yield uri


def serialize(messages: Iterable[object]) -> bytes:
    """Put messages into frames, as a server sends them."""
    return b"".join(frame(message).serialize(mask=False) for message in messages)


def frame(message: object) -> Frame:
    """Put a message into a frame."""
    if isinstance(message, bytes):
        return Frame(Opcode.BINARY, message)
    return Frame(Opcode.TEXT, json.dumps(message).encode())


def report(*scenarios: Callable[[], Outcome]) -> None:
    """Run each scenario and print, in JSON, its name, whether it ends well, and in what."""
    for scenario in scenarios:
        opened.clear()
        logger.filters[:] = [remember_connection]
        with thread_exceptions(lambda thread: True) as raised_elsewhere:
            outcome = scenario()
        raised = {
            "caller": outcome.caller,
            "reader thread": outcome.reader,
            "SDK's thread": next(iter(raised_elsewhere), None),
        }
        ended_in = [f"{describe(exc)} ({where})" for where, exc in raised.items() if exc]
        ends_well = all(is_closed(exc) for exc in raised.values() if exc)
        name = scenario.__name__.replace("_", " ")
        print(json.dumps([name, ends_well, "; ".join(ended_in) or "silence"]), flush=True)


def describe(exc: BaseException) -> str:
    """Name an exception, and what an SDK made it of."""
    if isinstance(exc, Hangs):
        return "hangs"
    cause = exc.__cause__
    is_of_the_sdk = cause is not None and not isinstance(exc, ConnectionClosed)
    return type(exc).__name__ + (f" from {type(cause).__name__}" if is_of_the_sdk else "")


def is_closed(exc: BaseException) -> bool:
    """Tell whether this is how a connection may end, or what an SDK makes of that."""
    return isinstance(exc, ConnectionClosed) or isinstance(exc.__cause__, ConnectionClosed)
