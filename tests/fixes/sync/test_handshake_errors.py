"""connect() raises what it is documented to raise."""

from __future__ import annotations

import socket
import threading

import pytest
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection

from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import reset_on_close
from websockets_closefix._repro.sync import handshake_errors
from websockets_closefix._repro.sync._connecting import connect_in_vain, server_that_answers
from websockets_closefix._repro.sync.ends import server
from websockets_closefix._repro.sync.refused_handshake import UNAVAILABLE

from ...conftest import has_bug

has_the_bug = has_bug("sync.handshake_errors")


@has_the_bug
@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"HTTP/1.1 101 Swit",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: web",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nno header\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",  # TLS
    ],
)
def test_response_that_cannot_be_read(response):
    with server_that_answers(response, then_leave=True) as uri:
        outcome = connect_in_vain(uri)
    assert type(outcome.caller) is InvalidHandshake
    assert str(outcome.caller) == "did not receive a valid HTTP response"
    assert isinstance(outcome.caller.__cause__, (EOFError, ValueError))
    assert not outcome.leaked


@has_the_bug
def test_reset_by_the_server():
    def serve():
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            reset_on_close(sock)

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve)
    thread.start()
    outcome = connect_in_vain(f"ws://127.0.0.1:{listener.getsockname()[1]}")
    thread.join(5)
    listener.close()
    assert type(outcome.caller) is InvalidHandshake
    assert type(outcome.caller.__cause__) is EOFError


@has_the_bug
@pytest.mark.parametrize("scenario", handshake_errors.SCENARIOS, ids=lambda s: s.name)
def test_without_the_shim(scenario, without_shim):
    assert type(scenario.end_connection("client").caller) is scenario.without_fix


# What stays as it is.


def test_refused_handshake_stays_what_it_is():
    with server_that_answers(UNAVAILABLE, then_leave=True) as uri:
        outcome = connect_in_vain(uri)
    assert type(outcome.caller) is InvalidStatus


@has_the_bug
def test_response_beyond_a_limit_stays_what_it_is():
    """It is documented as it is, an InvalidHandshake."""
    with server_that_answers(b"HTTP/1.1 200 " + bytes(10_000), then_leave=True) as uri:
        outcome = connect_in_vain(uri)
    assert type(outcome.caller).__name__ == "SecurityError"


def test_timeout_stays_what_it_is():
    with server_that_answers(b"", then_leave=False) as uri:
        outcome = connect_in_vain(uri, open_timeout=0.2)
    assert type(outcome.caller) is TimeoutError


@has_the_bug
def test_error_of_a_subclass_comes_through():
    class Connection(ClientConnection):
        def process_event(self, event):
            super().process_event(event)

        def handshake(self, *args, **kwargs):
            super().handshake(*args, **kwargs)
            raise EOFError("of the application's own")

    with server(lambda websocket: websocket.wait_closed) as uri:
        outcome = connect_in_vain(uri, create_connection=Connection, logger=quiet_logger())
    assert type(outcome.caller) is EOFError
