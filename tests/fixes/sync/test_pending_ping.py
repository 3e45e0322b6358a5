"""Pending pings are dropped once, and those who wait for them are told."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from websockets_closefix import _detect
from websockets_closefix._repro.peers import stay_silent
from websockets_closefix._repro.sync import pending_ping
from websockets_closefix._repro.sync.ends import opened
from websockets_closefix._repro.sync.observing import observe
from websockets_closefix._repro.waiting import wait_until

from ...conftest import installed_release

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
