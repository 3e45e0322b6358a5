"""A connection that is closing ends with its deadline, whether or not the peer ends TCP."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.protocol import State
from websockets.sync.client import ClientConnection
from websockets.sync.server import serve
from websockets.uri import parse_uri

import websockets_closefix
from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import messages, shake_hands, silent_client
from websockets_closefix._repro.scenario import SIDES
from websockets_closefix._repro.sync import close_deadline, ends
from websockets_closefix._repro.sync._tls import TLSEnd, context
from websockets_closefix._repro.sync.ends import open_connection, opened
from websockets_closefix._repro.sync.observing import Caller, has_ended
from websockets_closefix._repro.sync.socket_shutdown import is_receiving
from websockets_closefix._repro.waiting import wait_until

from ...conftest import bugs_of_the_release, has_bug, installed_release

REFERENCE = "17.2"

has_fix_or_is_reference = pytest.mark.skipif(
    installed_release() != REFERENCE and "sync.close_deadline" not in bugs_of_the_release(),
    reason="it ends in different words",
)

CLOSE = close_deadline.CLOSE


@contextlib.contextmanager
def closing(*frames, **kwargs):
    """Yield a client whose peer sends these frames, then nothing, and leaves TCP open."""
    ended = threading.Event()

    def send(sock):
        sock.sendall(b"".join(frame.serialize(mask=False) for frame in frames))
        ended.wait(5)

    with opened("client", send, ping_interval=None, **kwargs) as websocket:
        try:
            yield websocket
        finally:
            ended.set()


@has_fix_or_is_reference
@pytest.mark.parametrize("scenario", close_deadline.SCENARIOS, ids=lambda s: s.name)
@pytest.mark.parametrize("side", SIDES)
def test_ends_as_the_reference_does(scenario, side):
    started_at = time.monotonic()
    outcome = scenario.end_connection(side)
    assert time.monotonic() - started_at < 1
    assert type(outcome.caller) is scenario.with_fix
    assert type(outcome.caller.__cause__) is TimeoutError
    assert outcome.reader is None


@has_fix_or_is_reference
def test_everything_of_it_is_as_of_the_reference():
    with closing(CLOSE, close_timeout=0.1) as websocket:
        with pytest.raises(ConnectionClosedOK) as raised:
            websocket.recv()
        assert (raised.value.rcvd.code, raised.value.sent.code) == (1000, 1000)
        assert raised.value.rcvd_then_sent
        assert type(raised.value.__cause__) is TimeoutError
        assert str(raised.value.__cause__) == "timed out"
        assert websocket.protocol.state is State.CLOSED
        assert websocket.socket.fileno() == -1
        with pytest.raises(ConnectionClosedOK):
            websocket.send("x")
        websocket.close()


@has_fix_or_is_reference
def test_messages_before_the_close_frame_can_be_received():
    def send(sock):
        sock.sendall(messages(3, mask=False) + CLOSE.serialize(mask=False))
        ended.wait(5)

    ended = threading.Event()
    with opened("client", send, close_timeout=0.1) as websocket:
        websocket.recv_events_thread.join(5)
        ended.set()
        assert [websocket.recv() for _ in range(3)] == ["tick"] * 3
        with pytest.raises(ConnectionClosedOK):
            websocket.recv()


@has_fix_or_is_reference
def test_peer_that_goes_on_sending():
    """What comes after a close frame doesn't count, and doesn't put the end off."""
    ended = threading.Event()

    def send(sock):
        sock.sendall(CLOSE.serialize(mask=False))
        while not ended.wait(0.01):
            sock.sendall(messages(3, mask=False))

    with opened("client", send, close_timeout=0.2) as websocket:
        caller = Caller(websocket.recv)
        caller.start()
        assert has_ended(caller, 2)
        ended.set()
    assert type(caller.raised) is ConnectionClosedOK


@has_fix_or_is_reference
def test_half_a_tls_record_after_the_close_frame():
    stopped = threading.Event()

    def serve_one():
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(5)
            end = TLSEnd(sock, ssl.PROTOCOL_TLS_SERVER)
            shake_hands(end)
            end.sendall(CLOSE.serialize(mask=False))
            end.send_half(bytes(1000))
            stopped.wait(5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_one)
        thread.start()
        websocket = open_connection(
            f"wss://127.0.0.1:{listener.getsockname()[1]}",
            ssl=context(ssl.PROTOCOL_TLS_CLIENT),
            close_timeout=0.3,
            logger=quiet_logger(),
        )
        wait_until(lambda: websocket.protocol.state is State.CLOSED or is_receiving(websocket))
        caller = Caller(websocket.recv)
        caller.start()
        try:
            assert has_ended(caller, 2)
        finally:
            stopped.set()
            thread.join(5)
            caller.join(5)
    assert type(caller.raised) is ConnectionClosedOK
    assert type(caller.raised.__cause__) is TimeoutError


@has_fix_or_is_reference
def test_without_a_close_timeout_it_waits():
    with closing(CLOSE, close_timeout=None) as websocket:
        caller = Caller(websocket.recv)
        caller.start()
        assert not has_ended(caller, 0.3)
        websocket.close_socket()
        assert has_ended(caller)
    assert type(caller.raised) is ConnectionClosedOK


# A server's shutdown().


@contextlib.contextmanager
def client_that_leaves_tcp_open(uri):
    """Send a close frame, and keep the socket until the end."""
    with silent_client(uri) as sock:
        sock.sendall(CLOSE.serialize(mask=True))
        yield


def shut_down_with_open_tcp():
    """Return whether shutdown() hangs while a handler waits in recv()."""
    received = []

    def handle(websocket):
        try:
            websocket.recv()
        except ConnectionClosed as exc:
            received.append(exc)

    server = serve(
        handle, "127.0.0.1", 0, close_timeout=0.2, ping_interval=None, logger=quiet_logger()
    )
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    uri = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
    with client_that_leaves_tcp_open(uri):
        wait_until(lambda: is_closing(server))
        stopping = threading.Thread(target=server.shutdown)
        stopping.start()
        hangs = not has_ended(stopping, 2)
    stopping.join(5)
    serving.join(5)
    return hangs, [type(exc) for exc in received]


def is_closing(server):
    states = [connection.protocol.state for connection in server.all_connections]
    return states and states[0] is not State.OPEN


@has_bug("sync.close_deadline")
def test_shutdown_hangs_without_the_shim(without_shim):
    assert shut_down_with_open_tcp()[0]


@has_fix_or_is_reference
def test_shutdown_returns():
    assert shut_down_with_open_tcp() == (False, [ConnectionClosedOK])


# Ends that aren't the reader thread's.


@has_fix_or_is_reference
def test_close_keeps_to_the_deadline_and_to_its_words():
    """The thread in close() and the reader thread come to the deadline together."""
    with closing(close_timeout=0.1) as websocket:
        websocket.close()
        with pytest.raises(ConnectionClosedError) as raised:
            websocket.recv()
    assert type(raised.value.__cause__) is TimeoutError


@has_fix_or_is_reference
def test_close_that_was_interrupted():
    """The peer answers, and nobody waits for the end of TCP any more."""
    answered = threading.Event()

    def answer(sock):
        sock.recv(1024)
        sock.sendall(CLOSE.serialize(mask=False))
        answered.wait(5)

    with opened("client", answer, close_timeout=0.3) as websocket:
        with websocket.protocol_mutex:  # as an interrupted close() leaves it
            websocket.protocol.send_close(1000)
            websocket.close_deadline = deadline(websocket)
            websocket.send_data()
        try:
            websocket.recv_events_thread.join(2)
            assert not websocket.recv_events_thread.is_alive()
        finally:
            answered.set()


def deadline(websocket):
    from websockets.sync.utils import Deadline

    return Deadline(websocket.close_timeout)


def test_orderly_close_is_as_quick_as_ever():
    """The hook is put on by the peer's close frame, which TCP's end follows."""
    with ends.server(lambda websocket: None) as uri:
        websocket = open_connection(uri, close_timeout=10)
        started_at = time.monotonic()
        with pytest.raises(ConnectionClosedOK) as raised:
            websocket.recv()
        websocket.close()
        assert time.monotonic() - started_at < 2
        assert raised.value.__cause__ is None


class Channel:
    """What may stand for a socket, such as paramiko's: its recv() takes a number and no more."""

    def __init__(self, sock):
        self.sock = sock

    def recv(self, bufsize):
        return self.sock.recv(bufsize)

    def __getattr__(self, name):
        return getattr(self.sock, name)


def test_orderly_close_over_what_is_no_socket():
    with ends.server(lambda websocket: None) as uri:
        address = ("127.0.0.1", int(uri.rpartition(":")[2]))
        sock = Channel(socket.create_connection(address))
        websocket = open_connection(uri, sock=sock, close_timeout=10)
        with pytest.raises(ConnectionClosedOK) as raised:
            websocket.recv()
        websocket.close()
    assert raised.value.__cause__ is None


# What else goes through Protocol.discard().


@has_bug("sync.close_deadline")
def test_a_protocol_without_a_connection_is_left_alone():
    protocol = ClientProtocol(parse_uri("ws://127.0.0.1"), state=State.OPEN)
    protocol.receive_data(CLOSE.serialize(mask=False))
    assert protocol.state is State.CLOSING
    protocol.receive_eof()
    assert protocol.state is State.CLOSED


@has_bug("sync.close_deadline")
@pytest.mark.asyncio
async def test_a_connection_of_asyncio_is_left_alone():
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async with serve(lambda websocket: websocket.wait_closed(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", proxy=None) as websocket:
            await websocket.close()
            assert websocket.close_code == 1000


# Putting on and taking off.


@has_bug("sync.close_deadline")
def test_connection_that_was_opened_before_apply(without_shim):
    proceed = threading.Event()

    def send(sock):
        proceed.wait(5)
        sock.sendall(CLOSE.serialize(mask=False))
        ended.wait(5)

    ended = threading.Event()
    with opened("client", send, close_timeout=0.1, ping_interval=None) as websocket:
        websockets_closefix.apply()
        proceed.set()
        caller = Caller(websocket.recv)
        caller.start()
        try:
            assert has_ended(caller, 2)
        finally:
            ended.set()


@has_bug("sync.close_deadline")
def test_connection_that_is_closing_at_unapply():
    with closing(CLOSE, close_timeout=0.3) as websocket:
        wait_until(lambda: websocket.protocol.state is State.CLOSING)
        websockets_closefix.unapply()
        caller = Caller(websocket.recv)
        caller.start()
        assert has_ended(caller, 2)


@has_bug("sync.close_deadline")
def test_open_connection_has_nothing_of_the_fix():
    with ends.server(lambda websocket: websocket.recv()) as uri:
        websocket = open_connection(uri)
        assert type(websocket.recv_flow_control) is type(threading.Lock())
        assert not {"recv", "send", "discard"} & set(vars(websocket))
        websocket.close()


@has_bug("sync.close_deadline")
def test_subclass_with_a_reader_of_its_own():
    class Connection(ClientConnection):
        events = 0

        def recv_events(self):
            super().recv_events()

        def process_event(self, event):
            self.events += 1
            super().process_event(event)

    with closing(CLOSE, close_timeout=0.1, create_connection=Connection) as websocket:
        with pytest.raises(ConnectionClosedOK):
            websocket.recv()
        assert websocket.events == 2
