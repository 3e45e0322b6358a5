"""Pending pings are dropped once, and those who wait for them are told."""

from __future__ import annotations

import threading

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.protocol import State

from websockets_closefix import _detect
from websockets_closefix._repro.logs import tapped_logger
from websockets_closefix._repro.peers import messages, stay_silent
from websockets_closefix._repro.sync import holding, pending_ping
from websockets_closefix._repro.sync.ends import opened
from websockets_closefix._repro.sync.observing import observe
from websockets_closefix._repro.waiting import wait_until

from ...conftest import has_bug, installed_release

# The yardstick is the clean releases, in which there is nothing to repair.
pytestmark = pytest.mark.skipif(
    _detect.release(installed_release()) < (15, 0), reason="this release has no ack_on_close"
)


def closed_with(*pings):
    """Return what waits for some pings, one of each kind, once the connection is closed."""
    with opened("client", stay_silent, close_timeout=0.1, ping_interval=None) as websocket:
        waiters = [websocket.ping(ack_on_close=ack_on_close) for ack_on_close in pings]
        assert observe(websocket, websocket.close) == (None, None)
        assert websocket.protocol.state is State.CLOSED
        with pytest.raises(ConnectionClosed) as raised:
            websocket.recv()
        assert type(raised.value.__cause__) is TimeoutError
    return [waiter.is_set() for waiter in waiters]


def test_pings_that_are_to_be_acknowledged_on_close_are_and_no_others():
    assert closed_with(True, False, True) == [True, False, True]


def test_without_a_pending_ping():
    assert closed_with() == []


def test_keepalive_thread_ends_with_the_connection():
    with opened(
        "client", stay_silent, close_timeout=0.1, ping_interval=0.01, ping_timeout=None
    ) as websocket:
        wait_until(lambda: pending_ping.pending_pings(websocket))
        assert observe(websocket, websocket.close) == (None, None)
        websocket.keepalive_thread.join(5)
        assert not websocket.keepalive_thread.is_alive()


def test_closing_again_changes_nothing():
    with opened("client", stay_silent, close_timeout=0.1) as websocket:
        websocket.close()
        websocket.close_socket()
        websocket.close()
        assert websocket.protocol.state is State.CLOSED


@has_bug("sync.pending_ping")
def test_parser_that_is_at_work_for_longer_than_the_mutex_is_waited_for(impatient):
    """
    The reader thread holds the mutex, as it does while it inflates a large message.

    Going on without the mutex would drive the parser a second time: "generator already executing".
    The original waits for it to the end.

    """
    caller_is_in, parsing, caller_done = (threading.Event() for _ in range(3))

    def hold_the_reader(record):
        if record.getMessage().startswith("< TEXT") and holding.in_reader(record):
            parsing.set()
            caller_done.wait(holding.HOLD)  # ten times what the wrapper waits for
        return False

    def send_a_message(sock):
        caller_is_in.wait(5)
        sock.sendall(messages(1, mask=False))
        stay_silent(sock)

    def close_socket():
        caller_is_in.set()
        assert parsing.wait(5)
        try:
            websocket.close_socket()
        finally:
            caller_done.set()

    logger = tapped_logger(hold_the_reader)
    with opened("client", send_a_message, logger=logger, close_timeout=0.1) as websocket:
        assert observe(websocket, close_socket) == (None, None)
        assert websocket.protocol.state is State.CLOSED
        assert websocket.recv(timeout=5) == "tick"
        with pytest.raises(ConnectionClosedError):
            websocket.recv(timeout=5)
