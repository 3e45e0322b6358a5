"""Messages that come while another thread closes are no error."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from websockets.exceptions import ConnectionClosed

from websockets_closefix._repro.logs import tapped_logger
from websockets_closefix._repro.peers import messages, stay_silent
from websockets_closefix._repro.scenario import SIDES
from websockets_closefix._repro.sync import late_messages
from websockets_closefix._repro.sync.ends import open_connection, opened, server
from websockets_closefix._repro.sync.observing import observe
from websockets_closefix._repro.waiting import wait_until

from ...conftest import has_bug

pytestmark = has_bug("sync.late_messages")


@pytest.mark.parametrize("side", SIDES)
def test_recv_tells_of_the_timeout_rather_than_of_an_internal_error(side):
    caught = []

    def receive_and_close(websocket):
        websocket.close()
        with pytest.raises(ConnectionClosed) as raised:
            websocket.recv()
        caught.append(raised.value.__cause__)

    with opened(side, stay_silent, close_timeout=0.1) as websocket:
        assert observe(websocket, lambda: receive_and_close(websocket)) == (None, None)
    assert [type(cause) for cause in caught] == [TimeoutError]


def test_messages_that_came_in_time_stay():
    """close() is waiting for the peer, which goes on sending: none of it is dropped."""

    def send_on(sock):
        sock.recv(1024)  # the close frame
        sock.sendall(messages(5, mask=False))
        received_all.wait(5)

    received_all = threading.Event()
    with opened("client", send_on, close_timeout=2) as websocket:
        closing = threading.Thread(target=websocket.close)
        closing.start()
        received = [websocket.recv(timeout=2) for _ in range(5)]
        received_all.set()
        closing.join(5)
    assert received == ["tick"] * 5


def test_an_error_of_another_kind_is_logged_as_ever():
    class Broken(Exception):
        pass

    def fail(frame):
        raise Broken

    def send_when_told(sock):
        is_broken.wait(5)
        sock.sendall(messages(1, mask=False))
        stay_silent(sock)

    is_broken, errors = threading.Event(), []

    def collect(record):
        if record.exc_info:
            errors.append(record.exc_info[0])
        return False

    with opened("client", send_when_told, logger=tapped_logger(collect)) as websocket:
        websocket.recv_messages.put = fail
        is_broken.set()
        wait_until(lambda: errors)
    assert errors == [Broken]


def test_a_connection_that_was_closed_leaves_nothing_for_the_garbage_collector():
    with server(lambda websocket: websocket.recv()) as uri:
        websocket = open_connection(uri)
        websocket.close()
        websocket.close_socket()
        messages_of_it = weakref.ref(websocket.recv_messages)
        frames = weakref.WeakSet([websocket.recv_messages])
        gc.disable()
        try:
            websocket.recv_messages = None
            assert messages_of_it() is None
            assert not frames
        finally:
            gc.enable()


def test_open_connection_has_nothing_of_the_fix():
    with server(lambda websocket: websocket.recv()) as uri:
        websocket = open_connection(uri)
        assert "put" not in vars(websocket.recv_messages)
        websocket.close()


@pytest.mark.parametrize("side", SIDES)
def test_without_the_shim(side, without_shim):
    assert type(late_messages.close(side).caller) is late_messages.ErrorLogged
