"""keepalive() while the connection sends: a slow peer is spared, one that takes nothing isn't."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.protocol import State
from websockets.sync.client import unix_connect

from websockets_closefix.resilience import keepalive

from ..conftest import posix
from .peers import (
    OFF,
    client_context,
    open_connection,
    peer,
    server_context,
    serving,
    shake_hands,
    shut_down,
    wait_until,
)
from .test_keepalive import pinging

HAS_USER_TIMEOUT = hasattr(socket, "TCP_USER_TIMEOUT")
needs_user_timeout = pytest.mark.skipif(not HAS_USER_TIMEOUT, reason="there's no such option")
SMALL_BUFFER = 65536


def can_send(websocket):
    return bool(select.select([], [websocket.socket], [], 0)[1])


def user_timeout(websocket):
    return websocket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


@contextlib.contextmanager
def never_reading(context=None):
    """Run a peer that shakes hands and then reads nothing, until the block ends."""
    done = threading.Event()
    with peer(lambda sock: done.wait(20), context) as uri:
        try:
            yield uri
        finally:
            done.set()


def send_in_a_thread(websocket, size):
    raised = []

    def send():
        try:
            websocket.send(bytes(size))
        except ConnectionClosedError as exc:
            raised.append(exc)

    thread = threading.Thread(target=send)
    thread.start()
    return thread, raised


@needs_user_timeout
@pytest.mark.parametrize("secure", [False, True])
def test_peer_that_takes_nothing_is_noticed_in_the_middle_of_send(secure):
    with never_reading(server_context if secure else None) as uri:
        context = {"ssl": client_context} if secure else {}
        websocket = open_connection(uri, compression=None, **context, **OFF)
        sender, raised = send_in_a_thread(websocket, 2**26)
        with keepalive(websocket, ping_interval=0.2, ping_timeout=0.2):
            sender.join(10)
            hung = sender.is_alive()
            with contextlib.suppress(OSError):
                websocket.socket.shutdown(socket.SHUT_RDWR)
        sender.join(5)
    assert not hung
    assert len(raised) == 1


class SlowLink:
    """Takes a connection's bytes to the server little by little."""

    def __init__(self, uri, pause):
        self.target = ("127.0.0.1", int(uri.rpartition(":")[2]))
        self.pause = pause
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.up)]

    def __enter__(self):
        self.threads[0].start()
        return self.listener.getsockname()

    def __exit__(self, *exc_info):
        self.over.set()
        shut_down(self.listener)
        for thread in self.threads:
            thread.join(5)
        self.listener.close()

    def up(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(OSError))
            client = stack.enter_context(self.listener.accept()[0])
            server = stack.enter_context(socket.create_connection(self.target))
            stack.callback(shut_down, server)
            self.threads.append(threading.Thread(target=self.down, args=(server, client)))
            self.threads[1].start()
            while data := client.recv(SMALL_BUFFER // 4):
                self.over.wait(self.pause)
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)
            self.threads[1].join(5)

    def down(self, server, client):
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)


def connected_with_a_small_buffer(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
    sock.connect(address)
    return sock


def test_slow_upload_survives():
    """It takes much longer than ping_interval and ping_timeout together."""

    def count(websocket):
        for message in websocket:
            websocket.send(str(len(message)))

    size = 2**21 + 2**19
    running = serving(count, max_size=None, compression=None)
    with running as uri, SlowLink(uri, pause=0.02) as address:
        sock = connected_with_a_small_buffer(address)
        websocket = open_connection(uri, sock=sock, compression=None, **OFF)
        with keepalive(websocket, ping_interval=0.1, ping_timeout=0.6) as alive:
            websocket.send(bytes(size))
            assert websocket.recv(timeout=20) == str(size)
            wait_until(lambda: alive.latency > 0)
        websocket.close()


def fill(websocket):
    """Fill the send buffer, so that the next byte would block, as if by luck."""
    with contextlib.suppress(BlockingIOError):
        while True:
            # Pongs, which aren't read. Not setblocking(), which would disturb the reader thread.
            websocket.socket.send((b"\x8a\xfd" + bytes(4 + 125)) * 100, socket.MSG_DONTWAIT)


@needs_user_timeout
def test_ping_does_not_block_on_a_full_buffer():
    with never_reading() as uri:
        websocket = open_connection(uri, compression=None, **OFF)
        fill(websocket)
        with keepalive(websocket, ping_interval=0.2, ping_timeout=0.2):
            with pytest.raises(ConnectionClosedError):
                websocket.recv(timeout=10)
            wait_until(lambda: not pinging())


@needs_user_timeout
def test_peer_that_takes_little_of_a_full_buffer_is_spared():
    """Nobody is sending, and it takes long until there is room for a ping."""
    with serving() as uri, SlowLink(uri, pause=0.05) as address:
        sock = socket.create_connection(address)
        websocket = open_connection(uri, sock=sock, compression=None, **OFF)
        fill(websocket)
        with keepalive(websocket, ping_interval=0.1, ping_timeout=0.6):
            with pytest.raises(TimeoutError):
                websocket.recv(timeout=1.5)
            assert not can_send(websocket)
            assert websocket.protocol.state is State.OPEN
        websocket.socket.shutdown(socket.SHUT_RDWR)
        websocket.recv_events_thread.join(5)


@posix
def test_full_buffer_of_a_unix_socket_does_not_hold_up_the_end_of_the_block(tmp_path):
    """There the kernel gives up no peer."""

    def shake_hands_only():
        sock, _ = listener.accept()
        with sock:
            shake_hands(sock)
            done.wait(20)

    done, path = threading.Event(), str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        peer = threading.Thread(target=shake_hands_only)
        peer.start()
        websocket = unix_connect(path, compression=None, **OFF).__enter__()
        fill(websocket)
        alive = keepalive(websocket, ping_interval=0.01, ping_timeout=0.01)
        with alive, pytest.raises(TimeoutError):
            websocket.recv(timeout=0.5)
        wait_until(lambda: not pinging())
        assert websocket.protocol.state is State.OPEN
        done.set()
        peer.join(5)
        websocket.recv_events_thread.join(5)


@posix
def test_without_ping_timeout_no_peer_is_given_up():
    with never_reading() as uri:
        websocket = open_connection(uri, compression=None, **OFF)
        before = user_timeout(websocket) if HAS_USER_TIMEOUT else 0
        fill(websocket)
        with keepalive(websocket, ping_interval=0.01, ping_timeout=None):
            with pytest.raises(TimeoutError):
                websocket.recv(timeout=0.5)
            assert pinging()
            assert not HAS_USER_TIMEOUT or user_timeout(websocket) == before
        wait_until(lambda: not pinging())
        websocket.socket.shutdown(socket.SHUT_RDWR)
        websocket.recv_events_thread.join(5)


@needs_user_timeout
@pytest.mark.parametrize(("before", "meanwhile"), [(0, 30500), (12345, 12345), (99999, 30500)])
@pytest.mark.parametrize("secure", [False, True])
def test_option_is_put_back(before, meanwhile, secure):
    context = {"ssl": server_context} if secure else {}
    with serving(**context) as uri:
        context = {"ssl": client_context} if secure else {}
        websocket = open_connection(uri, **context, **OFF)
        websocket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, before)
        with keepalive(websocket, ping_interval=20, ping_timeout=10.5):
            assert user_timeout(websocket) == meanwhile
        assert user_timeout(websocket) == before
        websocket.close()


@needs_user_timeout
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of 3.12 and later
def test_option_outlasts_a_forked_child_that_leaves_the_block(echo_uri):
    """The socket is the parent's, too."""
    websocket = open_connection(echo_uri, **OFF)
    with keepalive(websocket) as alive:
        pid = os.fork()
        if pid == 0:
            try:
                alive.__exit__()
            finally:
                os._exit(0)
        assert os.waitpid(pid, 0) == (pid, 0)
        assert user_timeout(websocket) == 40000
    websocket.close()


@needs_user_timeout
def test_option_takes_no_more_than_an_int(echo_uri):
    websocket = open_connection(echo_uri, **OFF)
    with keepalive(websocket, ping_timeout=float("inf")):
        assert user_timeout(websocket) == 2**31 - 1
    websocket.close()


def test_block_may_outlast_the_connection(echo_uri):
    websocket = open_connection(echo_uri, **OFF)
    with keepalive(websocket):
        websocket.close()


def test_platform_without_the_option(echo_uri, set_constants):
    set_constants(TCP_USER_TIMEOUT=None)
    websocket = open_connection(echo_uri, **OFF)
    with keepalive(websocket, ping_interval=0.01) as alive:
        wait_until(lambda: alive.latency > 0)
        assert not HAS_USER_TIMEOUT or user_timeout(websocket) == 0
    websocket.close()


@posix
def test_ends_with_a_connection_that_cannot_be_written_to():
    with never_reading() as uri:
        websocket = open_connection(uri, compression=None, **OFF)
        fill(websocket)
        with keepalive(websocket, ping_interval=0.01, ping_timeout=None):
            assert not can_send(websocket)
            websocket.socket.shutdown(socket.SHUT_RDWR)
            wait_until(lambda: not pinging())
