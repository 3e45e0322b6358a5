"""connect() says at once that it was refused, and with what."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time

import pytest
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection

from websockets_closefix import _detect
from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.sync import refused_handshake
from websockets_closefix._repro.sync._connecting import connect_in_vain, server_that_answers
from websockets_closefix._repro.sync._tls import TLSEnd, context
from websockets_closefix._repro.sync.refused_handshake import FOUND, UNAVAILABLE

from ...conftest import has_bug, installed_release

RELEASE = _detect.release(installed_release())
has_the_bug = has_bug("sync.refused_handshake")

NO_UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def test_redirection_is_refused_at_once():
    if RELEASE >= (15, 0):
        pytest.skip("this release follows it")
    started_at = time.monotonic()
    outcome = refused_handshake.connect_redirected("client")
    assert time.monotonic() - started_at < 2
    assert type(outcome.caller) is InvalidStatus
    assert outcome.caller.response.headers["Location"] == "wss://[::1]"


@pytest.mark.parametrize(
    ("response", "status", "body"),
    [(UNAVAILABLE, 503, b"sorry"), (FOUND.replace(b"302", b"404"), 404, b"sorry")],
)
def test_the_whole_response_is_there(response, status, body):
    with server_that_answers(response, then_leave=False) as uri:
        outcome = connect_in_vain(uri, close_timeout=10)
    assert type(outcome.caller) is InvalidStatus
    assert outcome.caller.response.status_code == status
    assert outcome.caller.response.body == body
    assert outcome.caller.__cause__ is None


def test_response_that_comes_in_pieces():
    def serve():
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            for byte in UNAVAILABLE:
                sock.send(bytes([byte]))
            done.wait(5)

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        outcome = connect_in_vain(f"ws://127.0.0.1:{listener.getsockname()[1]}", close_timeout=10)
        done.set()
        thread.join(5)
    assert outcome.caller.response.body == b"sorry"


def test_what_isnt_a_websocket_is_refused_at_once():
    started_at = time.monotonic()
    with server_that_answers(NO_UPGRADE, then_leave=False) as uri:
        outcome = connect_in_vain(uri, close_timeout=10)
    assert time.monotonic() - started_at < 2
    assert isinstance(outcome.caller, InvalidHandshake)


@pytest.mark.skipif(RELEASE < (13, 0), reason="the argument has another name there")
def test_over_tls():
    def serve():
        sock, _ = listener.accept()
        with sock, contextlib.suppress(OSError):
            end = TLSEnd(sock, ssl.PROTOCOL_TLS_SERVER)
            end.recv(65536)
            end.sendall(UNAVAILABLE)
            done.wait(5)

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        started_at = time.monotonic()
        outcome = connect_in_vain(
            f"wss://127.0.0.1:{listener.getsockname()[1]}",
            ssl=context(ssl.PROTOCOL_TLS_CLIENT),
            close_timeout=10,
        )
        assert time.monotonic() - started_at < 2
        done.set()
        thread.join(5)
    assert type(outcome.caller) is InvalidStatus


@has_the_bug
def test_without_the_shim_it_takes_the_close_timeout(without_shim):
    started_at = time.monotonic()
    with server_that_answers(UNAVAILABLE, then_leave=False) as uri:
        outcome = connect_in_vain(uri, close_timeout=0.5)
    assert time.monotonic() - started_at > 0.4
    assert type(outcome.caller) is InvalidStatus


@has_the_bug
def test_subclass_with_a_handshake_of_its_own():
    class Connection(ClientConnection):
        def handshake(self, *args, **kwargs):
            super().handshake(*args, **kwargs)

    with server_that_answers(UNAVAILABLE, then_leave=False) as uri:
        outcome = connect_in_vain(uri, create_connection=Connection, logger=quiet_logger())
    assert type(outcome.caller) is InvalidStatus


@has_the_bug
@pytest.mark.asyncio
async def test_connection_of_asyncio_is_left_alone():
    if RELEASE < (13, 0):
        pytest.skip("there is none")
    from websockets.asyncio.client import connect

    with server_that_answers(UNAVAILABLE, then_leave=True) as uri, pytest.raises(InvalidStatus):
        await connect(uri)
