"""The kernel gives up a peer that takes nothing, where keepalive can't send a ping."""

from __future__ import annotations

import socket
import threading

import pytest
from websockets.exceptions import ConnectionClosedError

from websockets_closefix._fixes._user_timeout import set_user_timeout
from websockets_closefix._repro import waiting
from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import silent_client, stay_silent
from websockets_closefix._repro.scenario import SIDES
from websockets_closefix._repro.sync.blocked_send import LARGE, is_blocked
from websockets_closefix._repro.sync.ends import open_connection, opened, server
from websockets_closefix._repro.sync.observing import observe
from websockets_closefix._repro.sync.unread import send_close_frame
from websockets_closefix._repro.waiting import wait_until

from ...conftest import has_bug, needs_user_timeout
from ...peers import client_context, tls_peer

pytestmark = [
    has_bug("sync.blocked_keepalive"),
    needs_user_timeout,
]


def user_timeout(websocket):
    return user_timeout_of(websocket.socket)


def user_timeout_of(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("ping_interval", "ping_timeout", "milliseconds"),
    [
        (20, 20, 40_000),
        (0.25, 0.5, 750),
        (20, None, 0),
        (None, 20, 0),
        (None, None, 0),
    ],
)
def test_it_is_what_keepalive_takes(side, ping_interval, ping_timeout, milliseconds):
    kwargs = {"ping_interval": ping_interval, "ping_timeout": ping_timeout, "close_timeout": 0.1}
    with opened(side, stay_silent, **kwargs) as websocket:
        assert user_timeout(websocket) == milliseconds


def test_what_the_program_has_set_stays():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1234)  # accept() inherits it
    timeouts = []

    def handle(websocket):
        timeouts.append(user_timeout(websocket))
        with websocket.socket.dup() as dup:
            websocket.close()
            timeouts.append(user_timeout_of(dup))

    with server(handle, sock=listener, close_timeout=0.1) as uri, silent_client(uri):
        wait_until(lambda: len(timeouts) == 2)
    assert timeouts == [1234, 1234]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("first", ["this end closes", "this end fails", "peer closes", "peer goes"])
def test_what_has_been_sent_outlives_the_connection(side, first):
    """The kernel goes on delivering it, as without the fix, to a peer that is busy."""
    is_watched = threading.Event()

    def end(sock):
        is_watched.wait(5)
        if first == "peer closes":
            send_close_frame(sock, mask=side == "server")
        if first != "peer goes":
            stay_silent(sock)

    with opened(side, end, close_timeout=0.1) as websocket, websocket.socket.dup() as dup:
        websocket.send_in_progress = first == "this end fails"  # 1011, instead of 1000
        if first.startswith("this end"):
            websocket.close()
        is_watched.set()
        websocket.recv_events_thread.join(5)
        assert websocket.socket.fileno() == -1
        assert user_timeout_of(dup) == 0


def test_closing_handshake_may_take_longer():
    """From the close frame on, it is close_timeout that counts."""
    timeouts = []

    def answer(sock):
        sock.recv(100)
        timeouts.append(user_timeout(websocket))
        send_close_frame(sock, mask=False)

    with opened("client", answer, close_timeout=5) as websocket:
        websocket.close()
        assert websocket.protocol.close_code == 1000
    assert timeouts == [0]


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(0, 1), (1e-6, 1), (1e12, 2**31 - 1)],  # 0 would be the default of the system
)
def test_it_is_kept_in_range(seconds, milliseconds):
    with socket.socket() as sock:
        set_user_timeout(sock, seconds)
        option = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert option == milliseconds


def test_what_is_not_tcp():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        set_user_timeout(ours, 1)
    set_user_timeout(ours, 1)  # closed


def test_where_the_kernel_cannot(monkeypatch):
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT")
    with socket.socket() as sock:
        set_user_timeout(sock, 1)
        assert sock.getsockopt(socket.IPPROTO_TCP, 18) == 0


def test_tls():
    done = threading.Event()
    with tls_peer(lambda sock: done.wait(5)) as uri:
        websocket = open_connection(
            uri,
            ssl=client_context,
            compression=None,
            ping_interval=0.1,
            ping_timeout=0.1,
            logger=quiet_logger(),
        )
        outcome = observe(websocket, lambda: websocket.send(LARGE))
        done.set()
    assert type(outcome.caller) is ConnectionClosedError
    assert isinstance(outcome.caller.__cause__, OSError)


def test_peer_that_takes_a_message_slowly_is_kept():
    """A little at a time, for longer than keepalive would wait."""
    received = []

    def read_slowly(sock):
        blocked.wait(5)
        pause = threading.Event()
        for _ in range(10):
            pause.wait(0.06)
            received.append(len(sock.recv(2**19)))
        while sum(received) < len(LARGE):
            received.append(len(sock.recv(2**20)))
        done.set()
        stay_silent(sock)

    def send():
        websocket.send(LARGE)
        done.wait(5)

    def watch():
        wait_until(lambda: is_blocked(websocket))
        blocked.set()

    blocked, done = threading.Event(), threading.Event()
    # The peer answers no ping: keepalive itself must not end it.
    kwargs = {"compression": None, "ping_interval": None, "close_timeout": 0.1}
    with opened("client", read_slowly, **kwargs) as websocket:
        set_user_timeout(websocket.socket, 0.4)
        assert observe(websocket, send, watch) == (None, None)
    assert sum(received) >= len(LARGE)


def test_it_is_set_before_a_message_can_block(monkeypatch):
    """The handler of a server, or what follows connect(), runs after start_keepalive()."""
    monkeypatch.setattr(waiting, "HANG", 5.0)
    raised = []

    def handle(websocket):
        try:
            websocket.send(LARGE)
        except Exception as exc:
            raised.append(exc)

    serving = server(
        handle,
        compression=None,
        ping_interval=0.1,
        ping_timeout=0.1,
        close_timeout=0.1,
        logger=quiet_logger(),
    )
    with serving as uri, silent_client(uri):
        wait_until(lambda: raised)
    assert type(raised[0]) is ConnectionClosedError
    assert type(raised[0].__cause__) in (TimeoutError, BrokenPipeError)
