"""What came before a close frame can be received, whether or not that can be answered."""

from __future__ import annotations

import contextlib
import threading

import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.protocol import State
from websockets.sync.client import ClientConnection

from websockets_closefix._repro.peers import messages
from websockets_closefix._repro.scenario import SIDES
from websockets_closefix._repro.sync.ends import opened
from websockets_closefix._repro.sync.lost_messages import CLOSE

from ...conftest import has_bug, installed_release

pytestmark = [
    has_bug("sync.lost_messages"),
    pytest.mark.skipif(installed_release() == "14.0", reason="14.0 forgets all that is unread"),
]


@contextlib.contextmanager
def torn(side="client", count=5, **kwargs):
    """Yield a connection that has received messages and a close frame, and couldn't answer."""

    def send(sock):
        is_torn.wait(5)
        mask = side == "server"
        sock.sendall(messages(count, mask=mask) + CLOSE.serialize(mask=mask))
        ended.wait(5)

    is_torn, ended = threading.Event(), threading.Event()
    with opened(side, send, close_timeout=5, **kwargs) as websocket:
        websocket.socket.sendall_fails = True
        is_torn.set()
        try:
            websocket.recv_events_thread.join(2)
            assert not websocket.recv_events_thread.is_alive()
            yield websocket
        finally:
            ended.set()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("count", [1, 5, 400])
def test_all_of_it_can_be_received_and_the_reader_thread_has_ended_at_once(side, count):
    with torn(side, count) as websocket:
        assert [websocket.recv() for _ in range(count)] == ["tick"] * count
        with pytest.raises(ConnectionClosedOK) as raised:
            websocket.recv()
        assert type(raised.value.__cause__) is BrokenPipeError
        assert websocket.protocol.state is State.CLOSED
        assert websocket.socket.fileno() == -1


def test_it_is_lost_without_the_shim(without_shim):
    with torn() as websocket, pytest.raises(ConnectionClosedOK):
        websocket.recv()


def test_iteration_receives_all_of_it():
    with torn() as websocket:
        assert list(websocket) == ["tick"] * 5


def test_subclass_that_looks_at_each_event_sees_them_in_order():
    class Connection(ClientConnection):
        seen = ()

        def process_event(self, event):
            self.seen += (event,)
            super().process_event(event)

    with torn(create_connection=Connection) as websocket:
        opcodes = [event.opcode.name for event in websocket.seen[1:]]
        assert opcodes == ["TEXT"] * 5 + ["CLOSE"]


def test_answer_is_sent_where_it_can_be():
    answers = []

    def send(sock):
        sock.sendall(messages(1, mask=False) + CLOSE.serialize(mask=False))
        answers.append(sock.recv(1024))

    with opened("client", send) as websocket:
        assert websocket.recv() == "tick"
        with pytest.raises(ConnectionClosedOK) as raised:
            websocket.recv()
        assert raised.value.__cause__ is None
        assert "send_data" not in vars(websocket)
    assert len(answers[0]) == len(CLOSE.serialize(mask=True))


def test_attribute_of_somebody_else_is_called_and_stays():
    """A tool counts what a connection sends."""
    calls = []

    def count():
        calls.append(threading.current_thread())
        send_data()

    def send(sock):
        is_counted.wait(5)
        sock.sendall(CLOSE.serialize(mask=False))

    is_counted = threading.Event()
    with opened("client", send) as websocket:
        send_data, websocket.send_data = websocket.send_data, count
        is_counted.set()
        websocket.recv_events_thread.join(5)
        assert websocket.recv_events_thread in calls
        assert vars(websocket)["send_data"] is count
