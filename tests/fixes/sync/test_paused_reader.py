"""Closing the queue of messages resumes the reader thread, and loses no message."""

from __future__ import annotations

import threading

import pytest
from websockets.exceptions import ConnectionClosed

from websockets_closefix import _detect
from websockets_closefix._repro.logs import quiet_logger
from websockets_closefix._repro.peers import messages, silent_client, stay_silent
from websockets_closefix._repro.sync.ends import opened, server
from websockets_closefix._repro.sync.observing import observe
from websockets_closefix._repro.waiting import wait_until

from ...conftest import installed_release

# The yardstick is the clean releases, in which there is nothing to repair.
pytestmark = pytest.mark.skipif(
    _detect.release(installed_release()) < (14, 0), reason="this release takes one message in"
)

MAX_QUEUE = 3


def send_messages(sock):
    sock.sendall(messages(2 * MAX_QUEUE, mask=False))
    stay_silent(sock)


def receive_all(websocket, received):
    while True:
        received.append(websocket.recv(timeout=5))


@pytest.mark.skipif(installed_release() == "14.0", reason="14.0 forgets them")
def test_messages_that_were_taken_in_can_be_read_after_close():
    with opened("client", send_messages, close_timeout=0.1, max_queue=MAX_QUEUE) as websocket:
        wait_until(lambda: websocket.recv_messages.paused)
        assert observe(websocket, websocket.close) == (None, None)
        received = []
        with pytest.raises(ConnectionClosed) as raised:
            receive_all(websocket, received)
    assert len(received) > MAX_QUEUE
    assert set(received) == {"tick"}
    assert type(raised.value.__cause__) is TimeoutError


def test_messages_that_are_read_are_taken_in_as_ever():
    with opened("client", send_messages, close_timeout=0.1, max_queue=MAX_QUEUE) as websocket:
        wait_until(lambda: websocket.recv_messages.paused)
        received = [websocket.recv(timeout=5) for _ in range(2 * MAX_QUEUE)]
        assert received == ["tick"] * 2 * MAX_QUEUE
        assert not websocket.recv_messages.paused
        assert observe(websocket, websocket.close) == (None, None)


def test_handler_that_returns_with_messages_unread():
    """The server closes the connection, and the thread of the handler ends."""
    threads = []

    def handle(websocket):
        threads.append(threading.current_thread())
        wait_until(lambda: websocket.recv_messages.paused)

    serving = server(handle, close_timeout=0.1, max_queue=MAX_QUEUE, logger=quiet_logger())
    with serving as uri, silent_client(uri) as sock:
        sock.sendall(messages(2 * MAX_QUEUE, mask=True))
        wait_until(lambda: threads)
        threads[0].join(5)
        assert not threads[0].is_alive()
