"""The close race where it can't be prevented: whoever waits is woken, whoever calls is told."""

from __future__ import annotations

import logging
import socket
import threading

import pytest
import wrapt
from websockets.exceptions import ConnectionClosedError
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

import websockets_closefix
from websockets_closefix._repro.logs import quiet_logger, tapped_logger
from websockets_closefix._repro.peers import peer, stay_silent
from websockets_closefix._repro.scenario import SIDES
from websockets_closefix._repro.sync.close_race import send
from websockets_closefix._repro.sync.ends import open_connection
from websockets_closefix._repro.sync.holding import HoldingSocket, logger_that_holds_reader

from ...conftest import affected

pytestmark = affected


@pytest.mark.parametrize("side", SIDES)
def test_send_is_repaired_where_the_mutex_cannot_be_had(side, impatient, repairs):
    outcome = send(side)
    assert type(outcome.caller) is ConnectionClosedError
    assert type(outcome.caller.__cause__) is BrokenPipeError
    assert outcome.reader is None
    assert repairs() == 1


def test_patch_below_that_leaves_the_clean_up_undone(without_shim, repairs):
    """Somebody else's remedy swallows the exception, and recv() would never wake up."""
    original = vars(Connection)["close_socket"]
    wrapt.wrap_function_wrapper(Connection, "close_socket", lambda *args: None)
    records = []

    def remember(record):
        records.append(record)
        return False

    try:
        websockets_closefix.apply(strict=True)
        with peer(stay_silent) as uri:
            sock = HoldingSocket.connected_to(uri)
            sock.recv_waits_for = caller_done = threading.Event()
            websocket = open_connection(uri, sock=sock, logger=tapped_logger(remember))
            websocket.close_socket()
            caller_done.set()
            with pytest.raises(ConnectionClosedError):
                websocket.recv(timeout=5)
    finally:
        websockets_closefix.unapply()
        Connection.close_socket = original
    assert repairs() == 1
    [warning] = [record for record in records if record.levelno == logging.WARNING]
    assert "close_socket" in warning.stack_info


class NeverOpened(ClientConnection):
    """Remembers the instance, which connect() doesn't return when it fails."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        type(self).instance = self


def time_out_while_the_reader_is_held():
    """Have connect() give up a peer that never answers, the reader thread being held."""
    reader_at_eof, caller_done = threading.Event(), threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        sock = HoldingSocket.connected_to(f"ws://127.0.0.1:{listener.getsockname()[1]}")
        sock.shutdown_waits_for = reader_at_eof
        try:
            connect(
                "ws://127.0.0.1",
                sock=sock,
                open_timeout=0.5,
                logger=logger_that_holds_reader(reader_at_eof, caller_done),
                create_connection=NeverOpened,
            )
        finally:
            caller_done.set()
            NeverOpened.instance.recv_events_thread.join(5)


def test_failed_handshake_is_replaced_without_the_shim(without_shim):
    with pytest.raises(AssertionError):
        time_out_while_the_reader_is_held()


def test_failed_handshake_is_repaired_without_replacing_its_exception(impatient, repairs):
    with pytest.raises(TimeoutError, match="handshake"):
        time_out_while_the_reader_is_held()
    assert NeverOpened.instance.protocol.state is State.CLOSED
    assert NeverOpened.instance.recv_messages.closed
    assert repairs() == 1


def test_connection_opened_before_the_shim_was_applied(without_shim, impatient, repairs):
    with peer(stay_silent) as uri:
        websocket = open_connection(uri, logger=quiet_logger())
        websocket.protocol.parser.close()
        websockets_closefix.apply()
        with websocket.protocol_mutex:
            websocket.close_socket()
        websocket.recv_events_thread.join(5)
    assert websocket.protocol.state is State.CLOSED
    assert repairs() == 1


# python -O strips the assertion, and with it the only sign that something went wrong.

OPTIMIZED = """
import threading
import websockets_closefix
from websockets_closefix._repro.peers import peer, stay_silent
from websockets_closefix._repro.sync.ends import open_connection
from websockets_closefix._repro.sync.holding import HoldingSocket, logger_that_holds_reader

assert False, "assertions are stripped"
if SHIM:
    websockets_closefix.apply(strict=True)
    from websockets_closefix._fixes.sync import _mutex
    _mutex.MUTEX_TIMEOUT = 0.05
else:
    websockets_closefix.unapply()

reader_at_eof, caller_done = threading.Event(), threading.Event()
logger = logger_that_holds_reader(reader_at_eof, caller_done)
with peer(stay_silent) as uri:
    sock = HoldingSocket.connected_to(uri)
    websocket = open_connection(uri, sock=sock, logger=logger)
    sock.shutdown_waits_for = reader_at_eof
    try:
        websocket.close_socket()
    except Exception as exc:
        print(type(exc).__name__)
    print(websocket.protocol.state.name, websocket.recv_messages.closed)
    caller_done.set()
    websocket.recv_events_thread.join(5)
print(websockets_closefix.status().repaired)
"""


def test_optimized_python_leaves_the_connection_open_without_the_shim(python):
    result = python(f"SHIM = False\n{OPTIMIZED}", "-O")
    assert result.stdout.split() == ["OPEN", "True", "0"]


def test_optimized_python_is_repaired(python):
    result = python(f"SHIM = True\n{OPTIMIZED}", "-O")
    assert result.stdout.split() == ["CLOSED", "True", "1"]
