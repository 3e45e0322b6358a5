"""Closing the queue of messages wakes the reader thread, and changes nothing else."""

from __future__ import annotations

import threading

import pytest
from websockets.exceptions import ConnectionClosed

from websockets_closefix._repro.logs import quiet_logger, tapped_logger
from websockets_closefix._repro.peers import messages, silent_client, stay_silent
from websockets_closefix._repro.sync.ends import opened, server
from websockets_closefix._repro.sync.observing import observe
from websockets_closefix._repro.waiting import wait_until

from ...conftest import has_bug

pytestmark = has_bug("sync.unread_message")


def three_messages(sock):
    sock.sendall(messages(3, mask=False))
    stay_silent(sock)


def test_unread_messages_are_lost_and_recv_says_so():
    """As on 11.0.2."""
    with opened("client", three_messages, close_timeout=0.1) as websocket:
        assert websocket.recv(timeout=5) == "tick"
        wait_until(lambda: websocket.recv_messages.put_in_progress)
        assert observe(websocket, websocket.close) == (None, None)
        with pytest.raises(ConnectionClosed) as raised:
            websocket.recv()
    assert type(raised.value.__cause__) is TimeoutError


def test_handler_that_returns_with_a_message_unread():
    """The server closes the connection, and the thread of the handler ends."""
    threads = []

    def handle(websocket):
        threads.append(threading.current_thread())
        wait_until(lambda: websocket.recv_messages.put_in_progress)

    serving = server(handle, close_timeout=0.1, logger=quiet_logger())
    with serving as uri, silent_client(uri) as sock:
        sock.sendall(messages(1, mask=True))
        wait_until(lambda: threads)
        threads[0].join(5)
        assert not threads[0].is_alive()


def test_other_eof_errors_are_still_internal_errors():
    """The wrapper lets one pass: that of the queue which it closed."""
    logged = []
    message_may_come = threading.Event()

    def send_message(sock):
        message_may_come.wait(5)
        sock.sendall(messages(1, mask=False))
        stay_silent(sock)

    def remember(record):
        logged.append(record.getMessage())
        return False

    def put(frame):
        raise EOFError("not of the queue")

    with opened("client", send_message, logger=tapped_logger(remember)) as websocket:
        websocket.recv_messages.put = put
        message_may_come.set()
        websocket.recv_events_thread.join(5)
    assert "unexpected internal error" in logged
