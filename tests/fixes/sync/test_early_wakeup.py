"""recv() and recv_streaming() are what they were, but for one assertion."""

from __future__ import annotations

import inspect
import logging

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.sync.connection import Connection

from websockets_closefix._repro.logs import tapped_logger
from websockets_closefix._repro.peers import stay_silent
from websockets_closefix._repro.sync import early_wakeup, ends
from websockets_closefix._repro.sync.ends import opened
from websockets_closefix._repro.sync.holding import at_eof, in_reader
from websockets_closefix._repro.sync.observing import observe

from ...conftest import bugs_of_the_release, has_bug

pytestmark = has_bug("sync.early_wakeup")


def fragments(sock):
    frames = [
        Frame(Opcode.TEXT, b"one", fin=False),
        Frame(Opcode.CONT, b"two", fin=False),
        Frame(Opcode.CONT, b"three"),
    ]
    sock.sendall(b"".join(frame.serialize(mask=False) for frame in frames))
    stay_silent(sock)


@pytest.mark.skipif(
    "sync.unread_message" not in bugs_of_the_release(), reason="the contract shows it"
)
@pytest.mark.parametrize("receive", [early_wakeup.recv, early_wakeup.iterate])
def test_on_11_0_the_cure_of_issue_1336_uncovers_it(receive, monkeypatch):
    """There it is close_socket(), repaired, that wakes recv() early."""
    monkeypatch.setattr(Connection, "recv", vars(Connection)["recv"].__wrapped__)
    outcome = receive("client")
    assert type(outcome.caller) is AssertionError


@pytest.mark.parametrize("receive", [early_wakeup.recv, early_wakeup.recv_streaming])
def test_repair_is_counted_and_logged_where_the_connection_logs(receive, repairs, monkeypatch):
    logged = []

    def remember(record):
        if record.levelno == logging.DEBUG:
            logged.append(record.getMessage())
        return False

    monkeypatch.setattr(ends, "quiet_logger", lambda: tapped_logger(remember))
    assert type(receive("client").caller) is ConnectionClosedError
    assert repairs() == 1
    assert [line for line in logged if "issue 1449" in line]


def test_recv_streaming_is_a_generator_still():
    with opened("client", fragments, close_timeout=0.1) as websocket:
        frames = websocket.recv_streaming()
        assert inspect.isgenerator(frames)
        assert list(frames) == ["one", "two", "three"]
        websocket.close()
        frames = websocket.recv_streaming()  # raises nothing yet
        with pytest.raises(ConnectionClosed):
            next(frames)


def test_recv_streaming_can_be_abandoned():
    with opened("client", fragments, close_timeout=0.1) as websocket:
        frames = websocket.recv_streaming()
        assert next(frames) == "one"
        frames.close()
        assert observe(websocket, websocket.close) == (None, None)


def test_wrong_arguments_are_refused_at_once():
    with opened("client", stay_silent, close_timeout=0.1) as websocket:
        with pytest.raises(TypeError):
            websocket.recv_streaming("surplus", "arguments")
        with pytest.raises(TypeError):
            websocket.recv(0, "surplus argument")


def test_timeout_is_still_a_timeout(repairs):
    with opened("client", stay_silent) as websocket, pytest.raises(TimeoutError):
        websocket.recv(timeout=0)
    assert repairs() == 0


class Broken:
    """Fails an assertion that nobody knows."""

    def get(self, *args):
        raise AssertionError("another one")

    def get_iter(self, *args):
        raise AssertionError("another one")
        yield


@pytest.mark.parametrize(
    "receive", [Connection.recv, lambda websocket: list(websocket.recv_streaming())]
)
def test_other_assertions_come_through(receive, repairs):
    with opened("client", stay_silent, close_timeout=0.1) as websocket:
        whole, websocket.recv_messages = websocket.recv_messages, Broken()
        with pytest.raises(AssertionError, match="another one"):
            receive(websocket)
        websocket.recv_messages = whole
    assert repairs() == 0


def test_reader_thread_does_not_wait_for_itself():
    """What websockets calls there, a logging filter for one, may call recv() too."""
    raised = []

    def receive_at_eof(record):
        if at_eof(record) and in_reader(record):
            record.websocket.recv_messages.close()
            try:
                record.websocket.recv()
            except Exception as exc:
                raised.append(exc)
        return False

    logger = tapped_logger(receive_at_eof)
    with opened("client", stay_silent, logger=logger) as websocket:
        observe(websocket, websocket.close_socket)
        assert websocket.protocol.state is State.CLOSED
    assert {type(exc) for exc in raised} == {ConnectionClosedError}


def test_called_through_the_class():
    with opened("client", fragments, close_timeout=0.1) as websocket:
        assert Connection.recv(websocket, 5) == "onetwothree"


OPTIMIZED = """
import threading
import websockets_closefix
from websockets_closefix._repro.sync import early_wakeup

if not SHIM:
    websockets_closefix.unapply()

def receive(websocket):
    try:
        websocket.recv()
    except Exception as exc:
        print(type(exc).__name__, websocket.protocol.state.name)

early_wakeup.close_while("client", receive)
"""


@pytest.mark.skipif(
    "sync.unread_message" in bugs_of_the_release(), reason="there recv() isn't woken early"
)
@pytest.mark.parametrize(("shim", "closed"), [(False, False), (True, True)])
def test_optimized_python(python, shim, closed):
    """It strips the assertion, and recv() raises while the connection isn't CLOSED yet."""
    name, state = python(f"SHIM = {shim}\n{OPTIMIZED}", "-O").stdout.split()
    assert name == "ConnectionClosedError"
    assert (state == "CLOSED") is closed
