"""Closing a socket wakes a thread that is inside it: over TLS, in TLS, and on the server."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import sys
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.server import ServerConnection

from websockets_closefix import _detect
from websockets_closefix._fixes.sync._tcp import shut_down_tcp
from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import peer, shake_hands, shut_down_and_close, stay_silent
from websockets_closefix._repro.sync._tls import TEXT, TLSEnd, context
from websockets_closefix._repro.sync.ends import open_connection, server
from websockets_closefix._repro.sync.observing import Caller, has_ended
from websockets_closefix._repro.sync.socket_shutdown import is_receiving
from websockets_closefix._repro.waiting import wait_until

from ...conftest import closing_wakes_nobody, has_bug, installed_release
from ...peers import client_context, server_context, tls_context, uri_of

HANG = 1.0


def predates_ssl_argument():
    return _detect.release(installed_release()) < (13, 0)


@contextlib.contextmanager
def listening(serve):
    """Run ``serve(sock)`` for one connection; its socket is shut down when it isn't needed."""
    accepted = []

    def run():
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            sock.settimeout(HANG + 0.3)
            accepted.append(sock)
            serve(sock)

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener
    finally:
        shut_down_and_close(listener)
        for sock in accepted:
            shut_down_and_close(sock)
        thread.join(5)


def complete_tls_and_go_silent(sock):
    """As a server that is overloaded: the kernel and TLS answer, the application never does."""
    with server_with_tickets.wrap_socket(sock, server_side=True) as tls:
        while tls.recv(65536):
            pass


server_with_tickets = tls_context(ssl.PROTOCOL_TLS_SERVER)
server_with_tickets.num_tickets = 2  # records without data; peers.py has none


def connect_in_vain():
    """Return what comes out of connect(), or what is left of it after HANG seconds."""
    with listening(complete_tls_and_go_silent) as listener:
        caller = Caller(
            lambda: open_connection(
                uri_of(listener, secure=True),
                ssl=client_context,
                open_timeout=0.2,
                logger=quiet_logger(),
            )
        )
        caller.start()
        hangs = not has_ended(caller, HANG)
    caller.join(5)
    return "hangs" if hangs else type(caller.raised)


@closing_wakes_nobody
@has_bug("sync.socket_shutdown")
def test_connect_hangs_after_the_tls_handshake_without_the_shim(without_shim):
    assert connect_in_vain() == "hangs"


@has_bug("sync.socket_shutdown")
def test_connect_keeps_to_open_timeout():
    assert connect_in_vain() is TimeoutError


# TLS in TLS, as through a proxy that is reached over TLS.


@contextlib.contextmanager
def opened_in_tls():
    """Connect to a server that goes silent half-way through a record of the outer TLS."""
    stopped = threading.Event()

    def serve(sock):
        outer = TLSEnd(sock, ssl.PROTOCOL_TLS_SERVER)
        inner = TLSEnd(outer, ssl.PROTOCOL_TLS_SERVER)
        shake_hands(inner)
        outer.send_half(bytes(1000))
        stopped.set()
        while sock.recv(65536):
            pass

    with listening(serve) as listener:
        plain = socket.create_connection(listener.getsockname())
        tls = context(ssl.PROTOCOL_TLS_CLIENT)
        websocket = open_connection(
            uri_of(listener, secure=True),
            sock=tls.wrap_socket(plain),
            ssl=tls,
            proxy_ssl=tls,
            close_timeout=0.1,
            logger=quiet_logger(),
        )
        assert stopped.wait(5)
        wait_until(lambda: is_receiving(websocket))
        yield websocket
    websocket.recv_events_thread.join(5)


def close_in_tls():
    with opened_in_tls() as websocket:
        caller = Caller(websocket.close)
        caller.start()
        hangs = not has_ended(caller, HANG)
    caller.join(5)
    return hangs


@closing_wakes_nobody
@has_bug("sync.socket_shutdown")
def test_close_hangs_in_tls_in_tls_without_the_shim(without_shim):
    assert close_in_tls()


@has_bug("sync.socket_shutdown")
def test_close_in_tls_in_tls():
    assert not close_in_tls()


# A server whose client stops half-way through its request.


def reader_of_half_a_request():
    """Return whether the reader thread outlives the attempt to open a connection."""
    threads = []

    class Connection(ServerConnection):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            threads.append(self.recv_events_thread)

    serving = server(
        lambda websocket: None,
        ssl=context(ssl.PROTOCOL_TLS_SERVER),
        create_connection=Connection,
        open_timeout=0.2,
        logger=quiet_logger(),
    )
    with serving as uri:
        port = int(uri.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            TLSEnd(sock, ssl.PROTOCOL_TLS_CLIENT).send_half(TEXT.serialize(mask=True))
            wait_until(lambda: threads)
            leaks = not has_ended(threads[0], HANG)
    threads[0].join(5)
    return leaks


@closing_wakes_nobody
@has_bug("sync.socket_shutdown")
def test_server_leaks_a_thread_without_the_shim(without_shim):
    assert reader_of_half_a_request()


@has_bug("sync.socket_shutdown")
def test_server_leaks_no_thread():
    assert not reader_of_half_a_request()


# An orderly close.


@pytest.mark.skipif(predates_ssl_argument(), reason="it has another name there")
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_what_was_sent_before_closing_arrives(secure):
    """The handler returns while almost all of its message is on its way to a slow client."""
    message = bytes(2**23)
    serving = server(
        lambda websocket: websocket.send(message),
        compression=None,
        **({"ssl": server_context} if secure else {}),
    )
    with serving as uri:
        websocket = open_connection(
            uri, **({"ssl": client_context} if secure else {}), max_size=None
        )
        time.sleep(0.05)  # proves nothing; it makes it likelier that buffers are full
        assert websocket.recv(timeout=5) == message
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=5)
        assert websocket.protocol.close_code == 1000
        websocket.close()


def test_subclass_that_closes_the_socket_itself():
    closed = []

    class Connection(ClientConnection):
        def close_socket(self):
            closed.append(self)
            super().close_socket()

    with peer(stay_silent) as uri:
        websocket = open_connection(uri, create_connection=Connection, close_timeout=0.1)
        websocket.close()
    assert closed
    assert not websocket.recv_events_thread.is_alive()


# Shutting down TCP.


@pytest.mark.skipif(sys.platform == "win32", reason="there it is closed as well")
def test_tls_stays_on_top_of_what_is_shut_down():
    """SSLSocket.shutdown() would leave a plain socket to a thread that comes to read later."""
    with listening(complete_tls_and_go_silent) as listener:
        plain = socket.create_connection(listener.getsockname())
        with client_context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
            shut_down_tcp(tls)
            assert tls.version() is not None
            with contextlib.suppress(ConnectionResetError):  # what the peer has sent is unread
                assert tls.recv(100) == b""


def test_any_socket_can_be_shut_down():
    for one, other in (socket.socketpair(), tcp_pair()):
        with one, other:
            shut_down_tcp(one)
            shut_down_tcp(one)
            assert other.recv(100) == b""
        shut_down_tcp(one)  # it is closed


def test_a_socket_without_any_attribute_is_closed():
    class Closed:
        def __getattr__(self, name):  # as of gevent's
            raise OSError(errno.EBADF, "Bad file descriptor")

    shut_down_tcp(Closed())


def test_a_socket_of_somebody_else_shuts_itself_down():
    class Odd(socket.socket):
        shut_down = False

        def shutdown(self, how):
            self.shut_down = True

    with Odd() as odd:
        shut_down_tcp(odd)
        assert odd.shut_down


def test_tls_in_tls_has_its_socket_inside():
    class TLSInTLS:
        pass

    one, other = socket.socketpair()
    with one, other:
        TLSInTLS.ssl_socket = one
        shut_down_tcp(TLSInTLS())
        assert other.recv(100) == b""


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return socket.create_connection(listener.getsockname()), listener.accept()[0]
