"""The close race with a parser that is dead, running or fed by two threads: repaired afterwards."""

from __future__ import annotations

import logging
import threading

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.streams import StreamReader
from websockets.sync.client import ClientConnection

from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import peer, shut_down_and_close, stay_silent
from websockets_closefix._repro.sync.ends import open_connection
from websockets_closefix._repro.sync.holding import HOLD, HoldingSocket
from websockets_closefix._repro.sync.observing import reader_exceptions

from ...conftest import affected
from ..conftest import assert_network_error

pytestmark = affected


class Exploding:
    """An extension that fails to encode: a parser that has to answer a ping dies of it."""

    def encode(self, frame):
        raise RuntimeError("exploding extension")

    def decode(self, frame, *, max_size=None):
        return frame


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
        shut_down_and_close(websocket.socket)


def test_dead_parser_hangs_recv_without_the_shim(without_shim, dying):
    websocket, demand = dying
    with reader_exceptions(websocket.recv_events_thread) as raised:
        demand.set()
        with pytest.raises(TimeoutError):
            websocket.recv(timeout=0.5)
        websocket.recv_events_thread.join(5)
    assert [type(exc) for exc in raised] == [StopIteration]
    assert websocket.protocol.state is not State.CLOSED


def test_dead_parser_is_repaired_in_the_reader_thread(dying, repairs):
    websocket, demand = dying
    with reader_exceptions(websocket.recv_events_thread) as raised:
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


def test_pings_of_a_backport_are_acknowledged_under_the_mutex(dying):
    """ack_on_close came in 15.0; no affected release has it."""
    websocket, demand = dying
    demand.set()
    with pytest.raises(ConnectionClosedError):
        websocket.recv(timeout=5)
    assert websocket.terminated_under_mutex


def test_dead_parser_is_repaired_in_the_caller(impatient, repairs):
    with peer(stay_silent) as uri:
        websocket = open_connection(uri, logger=quiet_logger())
        websocket.protocol.parser.close()
        # Holding the mutex keeps the reader thread from being the first to close.
        with websocket.protocol_mutex:
            websocket.close_socket()
        websocket.recv_events_thread.join(5)
    assert websocket.protocol.state is State.CLOSED
    assert repairs() == 1
    with pytest.raises(ConnectionClosedError):
        websocket.recv(timeout=5)


def test_send_raises_connection_closed_from_what_made_it_fail(repairs):
    """The repair leaves raising to websockets, which knows the cause."""
    with peer(stay_silent) as uri:
        websocket = open_connection(
            uri, logger=quiet_logger(), sock=HoldingSocket.connected_to(uri)
        )
        websocket.protocol.parser.close()
        websocket.socket.sendall_fails = True
        with pytest.raises(ConnectionClosedError) as raised:
            websocket.send("lost")
        websocket.recv_events_thread.join(5)
    assert_network_error(raised.value, BrokenPipeError)
    assert repairs() == 1


class TextLogger(logging.Logger):
    """Holds the reader thread, which holds the mutex, in the middle of parsing a message."""

    def __init__(self):
        super().__init__("test", logging.DEBUG)
        self.parsing, self.caller_done = threading.Event(), threading.Event()
        self.addFilter(self.hold)

    def hold(self, record):
        if record.getMessage().startswith("< TEXT"):
            self.parsing.set()
            self.caller_done.wait(HOLD)
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
    close_while_the_parser_runs()
    assert repairs() >= 1


class TwiceFedReader(StreamReader):
    """Brings both threads past the test of reader.eof; the caller sets it when it is set."""

    def feed_eof(self):
        if threading.current_thread() is self.reader_thread:
            self.reader_is_here.set()
            self.caller_is_here.wait(HOLD)
        else:
            self.caller_is_here.set()
            self.reader_thread.join(HOLD)
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
    """The caller fails after the reader thread has closed everything."""
    close_while_the_reader_thread_feeds_eof()
    assert repairs() == 1
