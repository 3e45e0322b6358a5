"""
Both layers of the wrapper, against real connections.

Every test of the race has a twin without the shim that asserts the leak: what can't fail without
the shim proves nothing about it.

"""

from __future__ import annotations

import logging
import socket
import ssl
import threading

import pytest
import wrapt
from websockets.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidStatus,
)
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.streams import StreamReader
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection
from websockets.sync.server import ServerConnection

import websockets_closefix
from websockets_closefix import _provoke
from websockets_closefix._provoke import HoldingSocket, observe, open_connection, peer, stay_silent

from .conftest import affected
from .peers import SignallingSocket, client_context, server, silent_client, tls_context, tls_peer

pytestmark = affected


class HoldingTLSSocket(HoldingSocket, ssl.SSLSocket):
    """A HoldingSocket over TLS."""


class HoldingListener(socket.socket):
    """Accepts sockets that can hold a thread."""

    def accept(self):
        sock, address = super().accept()
        return HoldingSocket(fileno=sock.detach()), address


class Exploding:
    """An extension that fails to encode: a parser that has to answer a ping dies of it."""

    def encode(self, frame):
        raise RuntimeError("exploding extension")

    def decode(self, frame, *, max_size=None):
        return frame


@pytest.fixture
def impatient(monkeypatch):
    """Have the wrapper give the mutex up sooner than a held thread lets go of it."""
    from websockets_closefix._flaws import _mutex

    monkeypatch.setattr(_mutex, "MUTEX_TIMEOUT", 0.05)


@pytest.fixture
def patient(monkeypatch):
    """Have the wrapper wait so long for the mutex that a test can't pass by giving it up."""
    from websockets_closefix._flaws import _mutex

    monkeypatch.setattr(_mutex, "MUTEX_TIMEOUT", 300)


@pytest.fixture
def repairs():
    """Count the repairs since the test began."""
    before = websockets_closefix.status().repaired
    return lambda: websockets_closefix.status().repaired - before


@pytest.fixture(params=["plain", "tls"])
def silent_peer(request):
    """Yield the URI of a peer that answers nothing, and how to connect to it."""
    if request.param == "plain":
        with peer(stay_silent) as uri:
            yield uri, {}
        return
    context = tls_context(ssl.PROTOCOL_TLS_CLIENT, HoldingTLSSocket)
    with tls_peer(stay_silent) as uri:
        sock = socket.create_connection(("127.0.0.1", int(uri.rpartition(":")[2])))
        yield uri, {"ssl": context, "sock": sock}


def assert_network_error(exc, *causes):
    assert type(exc) is ConnectionClosedError
    assert (exc.rcvd, exc.sent) == (None, None)
    assert type(exc.__cause__) in causes


# Who comes second: the reader thread.


def test_reader_thread_dies_without_the_shim(without_shim, silent_peer):
    uri, kwargs = silent_peer
    outcome = _provoke.caller_held(uri, **kwargs)
    assert outcome.caller is None
    assert type(outcome.reader) is AssertionError


def test_reader_thread_survives(silent_peer, repairs):
    uri, kwargs = silent_peer
    assert _provoke.caller_held(uri, **kwargs) == (None, None)
    assert repairs() == 0


# Who comes second: the caller.


def test_send_leaks_without_the_shim(without_shim, silent_peer):
    uri, kwargs = silent_peer
    outcome = _provoke.reader_held(uri, **kwargs)
    assert type(outcome.caller) is AssertionError


def test_send_raises_connection_closed_from_the_network_error(silent_peer, repairs):
    uri, kwargs = silent_peer
    outcome = _provoke.reader_held(uri, **kwargs)
    assert_network_error(outcome.caller, BrokenPipeError)
    assert outcome.reader is None
    assert repairs() == 0


def test_send_is_repaired_where_the_mutex_cannot_be_had(silent_peer, impatient, repairs):
    uri, kwargs = silent_peer
    outcome = _provoke.reader_held(uri, **kwargs)
    assert_network_error(outcome.caller, BrokenPipeError)
    assert outcome.reader is None
    assert repairs() == 1


# The server's side.


@pytest.fixture(params=["plain", "tls"])
def served(request):
    """Run a handler against a client that vanishes, and return what it observed."""

    def serve_one(handler, **kwargs):
        outcomes, done = [], threading.Event()

        def observing_handler(websocket):
            outcomes.append(handler(websocket))
            done.set()

        secure = request.param == "tls"
        if secure:
            kwargs["ssl"] = tls_context(ssl.PROTOCOL_TLS_SERVER, HoldingTLSSocket)
        with server(observing_handler, **kwargs) as uri:
            with silent_client(uri, client_context if secure else None):
                assert done.wait(10)
            return outcomes[0]

    serve_one.secure = request.param == "tls"
    return serve_one


def holding_listener():
    listener = HoldingListener()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def close_held_in_handler(served):
    caller_at_eof = threading.Event()
    return served(
        lambda websocket: _provoke.close_held(websocket, caller_at_eof),
        logger=_provoke.logger_that_holds_caller(caller_at_eof),
        close_timeout=0.1,
        sock=holding_listener(),
    )


def test_reader_thread_dies_without_the_shim_on_a_server(without_shim, served):
    outcome = close_held_in_handler(served)
    assert outcome.caller is None
    assert type(outcome.reader) is AssertionError


def test_reader_thread_survives_on_a_server(served, repairs):
    assert close_held_in_handler(served) == (None, None)
    assert repairs() == 0


def send_torn_in_handler(served):
    reader_at_eof, caller_done = threading.Event(), threading.Event()
    return served(
        lambda websocket: _provoke.send_torn(websocket, reader_at_eof, caller_done),
        logger=_provoke.logger_that_holds_reader(reader_at_eof, caller_done),
        sock=holding_listener(),
    )


def test_send_leaks_without_the_shim_on_a_server(without_shim, served):
    assert type(send_torn_in_handler(served).caller) is AssertionError


def test_send_raises_connection_closed_on_a_server(served, repairs):
    outcome = send_torn_in_handler(served)
    assert_network_error(outcome.caller, BrokenPipeError)
    assert outcome.reader is None
    assert repairs() == 0


def test_handler_whose_client_resets_the_connection(repairs):
    outcomes, done = [], threading.Event()

    def handler(websocket):
        outcomes.append(observe(websocket, lambda: websocket.recv(timeout=5)))
        done.set()

    with server(handler) as uri:
        with silent_client(uri) as sock:
            _provoke.reset_on_close(sock)
        assert done.wait(10)
    assert_network_error(outcomes[0].caller, ConnectionResetError)
    assert outcomes[0].reader is None
    assert repairs() == 0


# What a repair must respect.


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
        _provoke.hang_up(websocket.socket)
        sender.join(5)
        release_peer.set()
    assert not hung
    assert_network_error(outcomes[0].caller, BrokenPipeError, ConnectionResetError, OSError)
    assert websocket.protocol.state is State.CLOSED


@pytest.mark.parametrize("callback", ["process_request", "process_response"])
def test_reentrant_call_does_not_deadlock(callback, impatient):
    """These callbacks run while their thread holds the mutex."""
    states, returned = [], threading.Event()

    def close_at_once(connection, *messages):
        connection.close_socket()
        states.append(connection.protocol.state)
        returned.set()

    with server(lambda websocket: None, **{callback: close_at_once}, logger=quiet_logger()) as uri:
        # An empty answer is an OSError or EOFError to a client; InvalidMessage from 15.0 on.
        with pytest.raises((OSError, EOFError, InvalidHandshake)):
            connect(uri)
        assert returned.wait(10)
    assert states == [State.CLOSED]


def ping_when(demand):
    """A peer that pings on demand."""

    def behave(sock):
        demand.wait(5)
        sock.sendall(Frame(Opcode.PING, b"").serialize(mask=False))
        stay_silent(sock)

    return behave


class Backport(ClientConnection):
    """Has a method of 15.0, which there requires the mutex."""

    terminated_under_mutex = False

    def terminate_pending_pings(self):
        self.terminated_under_mutex = self.protocol_mutex.locked()


@pytest.fixture
def dying():
    """Connect; when told to, the parser dies and the reader thread closes the socket."""
    demand = threading.Event()
    records = []

    def remember(record):
        records.append(record)
        return False

    logger = logging.Logger("test", logging.INFO)
    logger.addFilter(remember)
    with peer(ping_when(demand)) as uri:
        websocket = open_connection(
            uri,
            logger=logger,
            compression=None,
            close_timeout=0.1,
            create_connection=Backport,
        )
        websocket.protocol.extensions = [Exploding()]
        websocket.records = records
        yield websocket, demand
        demand.set()
        _provoke.hang_up(websocket.socket)


def test_dead_parser_hangs_recv_without_the_shim(without_shim, dying):
    websocket, demand = dying
    with _provoke.reader_exceptions(websocket.recv_events_thread) as raised:
        demand.set()
        with pytest.raises(TimeoutError):
            websocket.recv(timeout=0.5)
        websocket.recv_events_thread.join(5)
    assert [type(exc) for exc in raised] == [StopIteration]
    assert websocket.protocol.state is not State.CLOSED


def test_dead_parser_is_repaired_in_the_reader_thread(dying, repairs):
    websocket, demand = dying
    with _provoke.reader_exceptions(websocket.recv_events_thread) as raised:
        demand.set()
        with pytest.raises(ConnectionClosedError) as recv:
            websocket.recv(timeout=5)
    assert raised == []
    assert websocket.protocol.state is State.CLOSED
    assert str(recv.value.__cause__) == "exploding extension"
    assert repairs() == 1
    [warning] = [record for record in websocket.records if record.levelno == logging.WARNING]
    assert warning.exc_info[0] is StopIteration
    assert warning.websocket is websocket
    with pytest.raises(ConnectionClosedError):
        websocket.send("too late")
    websocket.close()
    assert repairs() == 1


def test_dead_parser_is_repaired_in_the_caller(impatient, repairs):
    with peer(stay_silent) as uri:
        websocket = open_connection(uri, logger=quiet_logger())
        websocket.protocol.parser.close()
        # Holding the mutex keeps the reader thread from being the first to close.
        with websocket.protocol_mutex, pytest.raises(ConnectionClosedError) as raised:
            websocket.close_socket()
        websocket.recv_events_thread.join(5)
    assert_network_error(raised.value, StopIteration)
    assert websocket.protocol.state is State.CLOSED
    assert repairs() == 1
    with pytest.raises(ConnectionClosedError):
        websocket.recv(timeout=5)


def test_repair_is_chained_to_what_the_reader_thread_met(impatient):
    with peer(stay_silent) as uri:
        websocket = open_connection(uri, logger=quiet_logger())
        websocket.protocol.parser.close()
        with websocket.protocol_mutex:
            websocket.set_recv_exc(ConnectionResetError("reset"))
            with pytest.raises(ConnectionClosedError) as raised:
                websocket.close_socket()
        websocket.recv_events_thread.join(5)
    assert_network_error(raised.value, ConnectionResetError)


class TextLogger(logging.Logger):
    """Holds the reader thread, which holds the mutex, in the middle of parsing a message."""

    def __init__(self):
        super().__init__("test", logging.DEBUG)
        self.parsing, self.caller_done = threading.Event(), threading.Event()
        self.addFilter(self.hold)

    def hold(self, record):
        if record.getMessage().startswith("< TEXT"):
            self.parsing.set()
            self.caller_done.wait(_provoke.HOLD)
        return False


def close_while_the_parser_runs():
    opened = threading.Event()

    def send_text(sock):
        opened.wait(5)
        sock.sendall(Frame(Opcode.TEXT, b"hello").serialize(mask=False))
        stay_silent(sock)

    logger = TextLogger()
    with peer(send_text) as uri:
        websocket = open_connection(uri, logger=logger, compression=None)
        opened.set()
        assert logger.parsing.wait(5)
        try:
            websocket.close_socket()
        finally:
            logger.caller_done.set()
            websocket.recv_messages.close()  # 13.1 would wait for somebody to fetch the message
            websocket.recv_events_thread.join(5)


def test_running_parser_leaks_without_the_shim(without_shim):
    with pytest.raises(ValueError, match="generator already executing"):
        close_while_the_parser_runs()


def test_running_parser_is_repaired(impatient, repairs):
    with pytest.raises(ConnectionClosedError) as raised:
        close_while_the_parser_runs()
    assert_network_error(raised.value, ValueError)
    assert repairs() >= 1


class TwiceFedReader(StreamReader):
    """Brings both threads past the test of reader.eof; the caller sets it when it is set."""

    def feed_eof(self):
        if threading.current_thread() is self.reader_thread:
            self.reader_is_here.set()
            self.caller_is_here.wait(_provoke.HOLD)
        else:
            self.caller_is_here.set()
            self.reader_thread.join(_provoke.HOLD)
        super().feed_eof()


def close_while_the_reader_thread_feeds_eof():
    with peer(stay_silent) as uri:
        sock = HoldingSocket.connected_to(uri)
        websocket = open_connection(uri, sock=sock, logger=quiet_logger())
        reader = websocket.protocol.reader
        reader.__class__ = TwiceFedReader
        reader.reader_thread = websocket.recv_events_thread
        reader.reader_is_here, reader.caller_is_here = threading.Event(), threading.Event()
        sock.shutdown_waits_for = reader.reader_is_here
        try:
            websocket.close_socket()
        finally:
            websocket.recv_events_thread.join(5)
            assert websocket.protocol.state is State.CLOSED


def test_end_of_the_stream_announced_twice_leaks_without_the_shim(without_shim):
    with pytest.raises(EOFError, match="stream ended"):
        close_while_the_reader_thread_feeds_eof()


def test_end_of_the_stream_announced_twice_is_prevented(repairs):
    close_while_the_reader_thread_feeds_eof()
    assert repairs() == 0


def test_end_of_the_stream_announced_twice_is_repaired(impatient, repairs):
    """The caller fails after the reader thread has closed everything, and is told all the same."""
    with pytest.raises(ConnectionClosedError) as raised:
        close_while_the_reader_thread_feeds_eof()
    assert_network_error(raised.value, EOFError)
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
            websocket = open_connection(uri, sock=sock, logger=_provoke.tapped_logger(remember))
            with pytest.raises(ConnectionClosedError):
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


def test_rejected_handshake_comes_through_untouched(repairs):
    def reject(connection, request):
        return connection.respond(403, "go away")

    running = server(lambda websocket: None, process_request=reject, logger=quiet_logger())
    with running as uri, pytest.raises(InvalidStatus) as raised:
        connect(uri)
    assert raised.value.response.status_code == 403
    assert repairs() == 0


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
                open_timeout=0.05,
                logger=_provoke.logger_that_holds_reader(reader_at_eof, caller_done),
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
        with websocket.protocol_mutex, pytest.raises(ConnectionClosedError):
            websocket.close_socket()
        websocket.recv_events_thread.join(5)
    assert websocket.protocol.state is State.CLOSED
    assert repairs() == 1


def test_connection_classes_inherit_the_wrapper():
    wrapped = vars(Connection)["close_socket"]
    for subclass in (ClientConnection, ServerConnection):
        assert "close_socket" not in vars(subclass)
        assert subclass.close_socket.__wrapped__ is wrapped.__wrapped__


def test_called_through_the_class(repairs):
    with peer(stay_silent) as uri:
        websocket = open_connection(uri)
        Connection.close_socket(websocket)
        websocket.recv_events_thread.join(5)
    assert websocket.protocol.state is State.CLOSED
    assert repairs() == 0


def test_pings_of_a_backport_are_acknowledged_under_the_mutex(dying):
    """ack_on_close came in 15.0; no affected release has it."""
    websocket, demand = dying
    demand.set()
    with pytest.raises(ConnectionClosedError):
        websocket.recv(timeout=5)
    assert websocket.terminated_under_mutex


def test_other_exceptions_come_through():
    """The wrapper repairs one race; it doesn't hide what it doesn't know."""

    class Odd(HoldingSocket):
        def shutdown(self, how):
            super().shutdown(how)
            raise LookupError("odd socket")

    with peer(stay_silent) as uri:
        websocket = open_connection(uri, sock=Odd.connected_to(uri), logger=quiet_logger())
        with _provoke.reader_exceptions(websocket.recv_events_thread):
            with pytest.raises(LookupError, match="odd socket"):
                websocket.close_socket()
            websocket.recv_events_thread.join(5)
            socket.socket.close(websocket.socket)


def quiet_logger():
    return _provoke.tapped_logger(lambda record: False)


# python -O strips the assertion, and with it the only sign that something went wrong.

OPTIMIZED = """
import threading
import websockets_closefix
from websockets_closefix import _provoke

assert False, "assertions are stripped"
if SHIM:
    websockets_closefix.apply(strict=True)
    from websockets_closefix._flaws import _mutex
    _mutex.MUTEX_TIMEOUT = 0.05
else:
    websockets_closefix.unapply()

reader_at_eof, caller_done = threading.Event(), threading.Event()
logger = _provoke.logger_that_holds_reader(reader_at_eof, caller_done)
with _provoke.peer(_provoke.stay_silent) as uri:
    sock = _provoke.HoldingSocket.connected_to(uri)
    websocket = _provoke.open_connection(uri, sock=sock, logger=logger)
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
    assert result.stdout.split() == ["ConnectionClosedError", "CLOSED", "True", "1"]


# Invisible: nothing but close_socket changes.


@pytest.mark.parametrize("name", ["send", "recv", "recv_streaming", "ping", "pong", "close"])
def test_other_methods_are_the_same_function_objects(name):
    patched = vars(Connection)[name]
    websockets_closefix.unapply()
    assert vars(Connection)[name] is patched


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
