"""
The close race, prevented: what is particular to it beside the contract of all flaws.

Every test of the race has a twin without the shim that asserts the leak: what can't fail without
the shim proves nothing about it.

"""

from __future__ import annotations

import contextlib
import inspect
import queue
import socket
import ssl
import threading

import pytest
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection
from websockets.sync.server import ServerConnection

from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import (
    peer,
    reset_on_close,
    shut_down_and_close,
    silent_client,
    stay_silent,
)
from websockets_closefix._repro.scenario import SIDES
from websockets_closefix._repro.sync.close_race import close_with_caller_held, send_with_reader_held
from websockets_closefix._repro.sync.ends import open_connection, opened, server
from websockets_closefix._repro.sync.holding import (
    HoldingListener,
    HoldingSocket,
    logger_that_holds_caller,
    logger_that_holds_reader,
)
from websockets_closefix._repro.sync.observing import observe, reader_exceptions

from ...conftest import affected, not_under_wine
from ...peers import SignallingSocket, client_context, tls_context, tls_peer
from ..conftest import assert_network_error

pytestmark = affected


# Over TLS, on either side.


class HoldingTLSSocket(HoldingSocket, ssl.SSLSocket):
    """A HoldingSocket over TLS."""


@contextlib.contextmanager
def opened_by_client(**kwargs):
    context = tls_context(ssl.PROTOCOL_TLS_CLIENT, HoldingTLSSocket)
    with tls_peer(stay_silent) as uri:
        sock = socket.create_connection(("127.0.0.1", int(uri.rpartition(":")[2])))
        yield open_connection(uri, ssl=context, sock=sock, **kwargs)


@contextlib.contextmanager
def opened_by_server(**kwargs):
    handled, done = queue.SimpleQueue(), threading.Event()

    def handle(websocket):
        handled.put(websocket)
        done.wait(10)

    context = tls_context(ssl.PROTOCOL_TLS_SERVER, HoldingTLSSocket)
    listener = HoldingListener.listening()
    running = server(handle, sock=listener, ssl=context, **kwargs)
    with running as uri, silent_client(uri, client_context):
        try:
            yield handled.get(timeout=5)
        finally:
            done.set()


OPENED = {"client": opened_by_client, "server": opened_by_server}


def close_held(side):
    caller_at_eof = threading.Event()
    logger = logger_that_holds_caller(caller_at_eof)
    with OPENED[side](logger=logger, close_timeout=0.1) as websocket:
        return close_with_caller_held(websocket, caller_at_eof)


def send_torn(side):
    reader_at_eof, caller_done = threading.Event(), threading.Event()
    logger = logger_that_holds_reader(reader_at_eof, caller_done)
    with OPENED[side](logger=logger) as websocket:
        return send_with_reader_held(websocket, reader_at_eof, caller_done)


@pytest.mark.parametrize("side", SIDES)
def test_reader_thread_dies_without_the_shim(side, without_shim):
    outcome = close_held(side)
    assert outcome.caller is None
    assert type(outcome.reader) is AssertionError


@pytest.mark.parametrize("side", SIDES)
def test_reader_thread_survives(side, repairs):
    assert close_held(side) == (None, None)
    assert repairs() == 0


@pytest.mark.parametrize("side", SIDES)
def test_send_leaks_without_the_shim(side, without_shim):
    assert type(send_torn(side).caller) is AssertionError


@pytest.mark.parametrize("side", SIDES)
def test_send_raises_connection_closed_from_the_network_error(side, repairs):
    outcome = send_torn(side)
    assert_network_error(outcome.caller, BrokenPipeError)
    assert outcome.reader is None
    assert repairs() == 0


# What a repair must respect.


@not_under_wine
def test_hangs_up_before_it_waits_for_the_mutex(patient):
    """A thread blocked in sendall() holds the mutex, and only hanging up releases it."""

    release_peer = threading.Event()
    with peer(lambda sock: release_peer.wait(10)) as uri:
        sock = SignallingSocket.connected_to(uri)
        websocket = open_connection(uri, sock=sock, compression=None)
        outcomes = []
        sender = threading.Thread(
            target=lambda: outcomes.append(observe(websocket, lambda: websocket.send(bytes(2**26))))
        )
        sender.start()
        assert sock.blocking.wait(5)
        closer = threading.Thread(target=websocket.close_socket)
        closer.start()
        closer.join(5)
        hung = closer.is_alive()
        shut_down_and_close(websocket.socket)
        sender.join(5)
        release_peer.set()
    assert not hung
    assert_network_error(outcomes[0].caller, BrokenPipeError, ConnectionResetError, OSError)
    assert websocket.protocol.state is State.CLOSED


def test_handler_whose_client_resets_the_connection(repairs):
    with opened("server", reset_on_close) as websocket:
        outcome = observe(websocket, lambda: websocket.recv(timeout=5))
    assert_network_error(outcome.caller, ConnectionResetError)
    assert outcome.reader is None
    assert repairs() == 0


def test_rejected_handshake_comes_through_untouched(repairs):
    def reject(connection, request):
        return connection.respond(403, "go away")

    running = server(lambda websocket: None, process_request=reject, logger=quiet_logger())
    with running as uri, pytest.raises(InvalidStatus) as raised:
        connect(uri)
    assert raised.value.response.status_code == 403
    assert repairs() == 0


def test_connection_classes_inherit_the_wrapper():
    wrapped = vars(Connection)["close_socket"]
    for subclass in (ClientConnection, ServerConnection):
        assert "close_socket" not in vars(subclass)
        assert inspect.unwrap(subclass.close_socket) is inspect.unwrap(wrapped)


def test_called_through_the_class(repairs):
    with peer(stay_silent) as uri:
        websocket = open_connection(uri)
        Connection.close_socket(websocket)
        websocket.recv_events_thread.join(5)
    assert websocket.protocol.state is State.CLOSED
    assert repairs() == 0


def test_other_exceptions_come_through():
    """The wrapper repairs one race; it doesn't hide what it doesn't know."""

    class Odd(HoldingSocket):
        def shutdown(self, how):
            super().shutdown(how)
            raise LookupError("odd socket")

    with peer(stay_silent) as uri:
        websocket = open_connection(uri, sock=Odd.connected_to(uri), logger=quiet_logger())
        with reader_exceptions(websocket.recv_events_thread):
            with pytest.raises(LookupError, match="odd socket"):
                websocket.close_socket()
            websocket.recv_events_thread.join(5)
            socket.socket.close(websocket.socket)


def test_clean_close_is_left_alone(repairs):
    def echo(websocket):
        for message in websocket:
            websocket.send(message)

    with server(echo) as uri, connect(uri) as websocket:
        websocket.send("hello")
        assert websocket.recv(timeout=5) == "hello"
        websocket.close()
        assert websocket.protocol.close_code == 1000
        with pytest.raises(ConnectionClosedOK):
            websocket.recv()
    assert repairs() == 0
