"""keepalive(), against a relay that swallows everything."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.protocol import State
from websockets.sync.connection import Connection
from websockets.version import version
from websockets_closefix._provoke import open_connection, peer, stay_silent

from websockets_closefix.resilience import _keepalive, _state, keepalive
from websockets_closefix.resilience._user_timeout import get_user_timeout

from ..peers import client_context, server_context
from .conftest import serving
from .relay import Relay

HAS_ITS_OWN = hasattr(Connection, "keepalive")

# Where websockets has a keepalive of its own, it must be off for ours to have something to do.
OFF = {"ping_interval": None} if HAS_ITS_OWN else {}


@pytest.fixture
def relay(echo_uri):
    with Relay(echo_uri) as relay:
        yield relay


def thread_of(alive):
    return alive._thread


def notice_half_open_peer(relay, uri, **kwargs):
    websocket = open_connection(uri, **kwargs, **OFF)
    with keepalive(websocket, ping_interval=0.2, ping_timeout=0.2) as alive:
        wait_until(lambda: alive.latency > 0)
        relay.swallowing.set()
        started = time.monotonic()
        with pytest.raises(ConnectionClosedError) as raised:
            websocket.recv(timeout=10)
        elapsed = time.monotonic() - started
        thread_of(alive).join(5)
        assert not thread_of(alive).is_alive()
    assert raised.value.sent.code == 1011
    assert raised.value.sent.reason == "keepalive ping timeout"
    assert raised.value.rcvd is None
    assert websocket.protocol.state is State.CLOSED
    # Generous for a busy machine, and far from the 10 seconds of close_timeout.
    assert elapsed < 5


def test_half_open_peer_is_noticed(relay):
    notice_half_open_peer(relay, relay.uri)


def test_half_open_peer_is_noticed_over_tls():
    with serving(ssl=server_context) as uri, Relay(uri) as relay:
        notice_half_open_peer(relay, relay.uri.replace("ws:", "wss:"), ssl=client_context)


@pytest.mark.skipif(not HAS_ITS_OWN, reason="this release has no keepalive of its own")
def test_websockets_own_keepalive_gives_the_same(relay):
    websocket = open_connection(relay.uri, ping_interval=0.2, ping_timeout=0.2, close_timeout=0.1)
    relay.swallowing.set()
    with pytest.raises(ConnectionClosedError) as raised:
        websocket.recv(timeout=10)
    assert raised.value.sent.code == 1011
    assert raised.value.sent.reason == "keepalive ping timeout"
    assert raised.value.rcvd is None


@pytest.mark.skipif(not HAS_ITS_OWN, reason="this release has no keepalive of its own")
def test_nothing_is_switched_on_twice(echo_uri, caplog):
    websocket = open_connection(echo_uri, ping_interval=20, ping_timeout=20)
    threads = threading.active_count()
    with keepalive(websocket) as alive:
        assert threading.active_count() == threads
        assert alive.latency == websocket.latency
    assert "keepalive() does nothing" in caplog.text
    websocket.close()


def test_latency(relay):
    websocket = open_connection(relay.uri, **OFF)
    with keepalive(websocket, ping_interval=0.01) as alive:
        assert alive.latency == 0
        wait_until(lambda: alive.latency > 0)
        assert alive.latency < 5
    websocket.close()


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_delayed_pong_is_no_reason_to_fail(relay):
    websocket = open_connection(relay.uri, **OFF)
    relay.hold_back.clear()
    with keepalive(websocket, ping_interval=0.05, ping_timeout=20) as alive:
        wait_until(lambda: alive._awaited in pongs_awaited(websocket))
        relay.hold_back.set()
        wait_until(lambda: alive.latency > 0)
        websocket.send("still there")
        assert websocket.recv(timeout=5) == "still there"
    websocket.close()


def pongs_awaited(websocket):
    """Return the events for pings that haven't been answered yet, whatever websockets calls it."""
    for name in ("ping_waiters", "pong_waiters", "pending_pings"):
        if hasattr(websocket, name):
            values = getattr(websocket, name).copy().values()
            return [value[0] if isinstance(value, tuple) else value for value in values]
    raise AssertionError


@pytest.fixture
def inattentive(monkeypatch):
    """Look so seldom whether the connection has ended that a test can't pass by it."""
    monkeypatch.setattr(_keepalive, "CHECK_INTERVAL", 300)


def test_ends_with_the_block_while_it_waits_to_ping(echo_uri, inattentive):
    websocket = open_connection(echo_uri, **OFF)
    with keepalive(websocket) as alive:
        assert thread_of(alive).daemon
        assert thread_of(alive).is_alive()
    assert not thread_of(alive).is_alive()
    websocket.send("still open")
    assert websocket.recv(timeout=5) == "still open"
    websocket.close()


def test_ends_with_the_block_while_it_waits_for_a_pong(relay, inattentive):
    websocket = open_connection(relay.uri, **OFF)
    relay.swallowing.set()
    with keepalive(websocket, ping_interval=0.01) as alive:
        wait_until(lambda: alive._awaited in pongs_awaited(websocket))
    assert not thread_of(alive).is_alive()
    assert websocket.protocol.state is State.OPEN
    relay.reset()
    websocket.close()


class SignallingLock:
    """Tells when somebody waits for it with a bound, as only keepalive() does."""

    def __init__(self, lock):
        self.lock, self.asked = lock, threading.Event()
        self.locked, self.release = lock.locked, lock.release

    def acquire(self, timeout):
        self.asked.set()
        return self.lock.acquire(timeout=timeout)

    def __enter__(self):
        return self.lock.__enter__()

    def __exit__(self, *exc_info):
        return self.lock.__exit__(*exc_info)


def test_does_nothing_after_the_block_if_another_thread_was_sending(echo_uri, monkeypatch):
    monkeypatch.setattr(_keepalive, "CHECK_INTERVAL", 0.1)
    websocket = open_connection(echo_uri, **OFF)
    lock = websocket.protocol_mutex = SignallingLock(websocket.protocol_mutex)
    with lock.lock:
        with keepalive(websocket, ping_interval=0.01, ping_timeout=0.01) as alive:
            assert lock.asked.wait(5)
        thread_of(alive).join(5)
        assert not thread_of(alive).is_alive()
    websocket.send("still open")
    assert websocket.recv(timeout=5) == "still open"
    websocket.close()


def test_ends_with_the_connection(relay):
    websocket = open_connection(relay.uri, **OFF)
    with keepalive(websocket) as alive:
        relay.reset()
        thread_of(alive).join(5)
        assert not thread_of(alive).is_alive()


def test_ends_quietly_with_a_connection_that_ends_when_the_ping_is_due(
    echo_uri, caplog, monkeypatch
):
    websocket = open_connection(echo_uri, **OFF)
    ping = websocket.ping

    def ping_too_late():
        websocket.close()
        return ping()

    monkeypatch.setattr(websocket, "ping", ping_too_late)
    with keepalive(websocket, ping_interval=0.01, ping_timeout=1) as alive:
        thread_of(alive).join(5)
        assert not thread_of(alive).is_alive()
    assert caplog.records == []


def test_ends_with_the_connection_while_it_waits_for_a_pong(relay):
    websocket = open_connection(relay.uri, **OFF)
    relay.swallowing.set()
    with keepalive(websocket, ping_interval=0.01) as alive:
        wait_until(lambda: alive._awaited in pongs_awaited(websocket))
        relay.reset()
        thread_of(alive).join(5)
        assert not thread_of(alive).is_alive()


def test_without_ping_timeout_it_only_pings(relay):
    pings = []
    websocket = open_connection(relay.uri, **OFF)
    ping = websocket.ping
    websocket.ping = lambda: pings.append(ping()) or pings[-1]
    relay.swallowing.set()
    with keepalive(websocket, ping_interval=0.01, ping_timeout=None):
        wait_until(lambda: len(pings) > 5)
        assert websocket.protocol.state is State.OPEN
    relay.reset()
    websocket.close()


def test_close_frame_that_cannot_be_sent(monkeypatch, relay):
    websocket = open_connection(relay.uri, **OFF)
    monkeypatch.setattr(websocket, "send_data", failing_send_data)
    _keepalive.fail(websocket)
    with pytest.raises(ConnectionClosedError) as raised:
        websocket.recv(timeout=5)
    assert raised.value.sent.code == 1011


def failing_send_data():
    raise TimeoutError("the peer reads nothing")


def test_unexpected_error_is_logged_and_ends_it(echo_uri, caplog, monkeypatch):
    websocket = open_connection(echo_uri, **OFF)

    def broken_ping():
        raise LookupError("broken")

    monkeypatch.setattr(websocket, "ping", broken_ping)
    with keepalive(websocket, ping_interval=0.01) as alive:
        thread_of(alive).join(5)
        assert not thread_of(alive).is_alive()
    assert "keepalive ping failed" in caplog.text
    websocket.close()


def test_server_side():
    latencies = []

    def handler(websocket):
        with keepalive(websocket, ping_interval=0.01) as alive:
            wait_until(lambda: alive.latency > 0)
            latencies.append(alive.latency)

    with serving(handler, **OFF) as uri:
        websocket = open_connection(uri)
        with pytest.raises(Exception, match="1000"):
            websocket.recv(timeout=10)
    assert len(latencies) == 1


def test_silent_peer_does_not_hold_up_the_end_of_the_block():
    with peer(stay_silent) as uri:
        websocket = open_connection(uri, **OFF)
        with keepalive(websocket, ping_interval=0.01, ping_timeout=20) as alive:
            wait_until(lambda: alive._awaited in pongs_awaited(websocket))
        assert not thread_of(alive).is_alive()
        websocket.close_timeout = 0.05
        websocket.close()


def test_failing_a_connection_that_is_closing_already(echo_uri):
    """The close frame that was sent first counts."""
    websocket = open_connection(echo_uri, **OFF)
    with websocket.protocol_mutex:
        websocket.protocol.send_close(1001)
    _keepalive.fail(websocket)
    with pytest.raises(ConnectionClosedError) as raised:
        websocket.recv(timeout=5)
    assert raised.value.sent.code == 1001


def test_failing_a_connection_whose_mutex_somebody_keeps(echo_uri):
    websocket = open_connection(echo_uri, **OFF)
    with websocket.protocol_mutex:
        _keepalive.fail(websocket)
    with pytest.raises(ConnectionClosedError) as raised:
        websocket.recv(timeout=5)
    assert raised.value.sent is None


def test_waits_for_nothing_once_the_block_has_ended(echo_uri):
    websocket = open_connection(echo_uri, **OFF)
    with keepalive(websocket) as alive:
        pass
    assert not alive._wait_for(threading.Event(), 300)
    websocket.close()


def test_program_that_is_slow_to_read_has_no_dead_peer(monkeypatch):
    """Unread messages keep the reader thread from the pong behind them: none is asked for."""
    monkeypatch.setattr(_keepalive, "CHECK_INTERVAL", 0.01)

    def send_many(websocket):
        for number in range(40):
            websocket.send(str(number))
        assert websocket.recv(timeout=20) == "read"

    with serving(send_many, **OFF) as uri:
        websocket = open_connection(uri, **OFF)
        wait_until(lambda: not _keepalive.is_reading(websocket))
        with keepalive(websocket, ping_interval=0.05, ping_timeout=0.05) as alive:
            threading.Event().wait(0.5)  # many times as long
            assert pongs_awaited(websocket) == []
            assert [websocket.recv(timeout=5) for _ in range(40)] == list(map(str, range(40)))
            wait_until(lambda: alive.latency > 0)
            websocket.send("read")
        websocket.close()


@pytest.mark.skipif(version == "14.0", reason="drops what is unread, whatever keepalive does")
def test_unread_messages_outlast_a_peer_that_has_closed():
    """On 13.1, a ping that fails would have dropped them."""

    def send_many(websocket):
        for number in range(10):
            websocket.send(str(number))
        sent.set()

    sent = threading.Event()
    with serving(send_many, close_timeout=0.1, **OFF) as uri:
        websocket = open_connection(uri, **OFF)
        with keepalive(websocket, ping_interval=0.05, ping_timeout=0.05):
            assert sent.wait(5)
            threading.Event().wait(0.5)  # the server has hung up
            assert [websocket.recv(timeout=5) for _ in range(10)] == list(map(str, range(10)))
        websocket.close()


def test_program_that_becomes_slow_while_a_pong_is_due(relay, monkeypatch):
    monkeypatch.setattr(_keepalive, "CHECK_INTERVAL", 0.01)
    websocket = open_connection(relay.uri, **OFF)
    relay.swallowing.set()
    with keepalive(websocket, ping_interval=0.01, ping_timeout=0.3) as alive:
        wait_until(lambda: alive._awaited in pongs_awaited(websocket))
        monkeypatch.setattr(_keepalive, "is_reading", lambda websocket: False)
        with pytest.raises(TimeoutError):
            websocket.recv(timeout=1)
        monkeypatch.undo()
        with pytest.raises(ConnectionClosedError, match="keepalive ping timeout"):
            websocket.recv(timeout=10)


def test_latency_without_ping_timeout(echo_uri):
    websocket = open_connection(echo_uri, **OFF)
    with websocket, keepalive(websocket, ping_interval=0.01, ping_timeout=None) as alive:
        wait_until(lambda: alive.latency > 0)


def test_program_that_sends_without_a_pause_is_pinged_too(relay):
    """A half-open peer behind a proxy takes all that it is sent."""

    def send_on_and_on():
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            websocket.send(bytes(1000))

    websocket = open_connection(relay.uri, compression=None, **OFF)
    relay.swallowing.set()
    alive = keepalive(websocket, ping_interval=0.2, ping_timeout=0.2)
    with alive, pytest.raises(ConnectionClosedError) as raised:
        send_on_and_on()
    assert raised.value.sent.code == 1011


def test_survives_a_moment_without_descriptors(echo_uri, monkeypatch):
    def register(selector, *args):
        made.append(type(selector))
        return registered(selector, *args)

    made, registered = [], _state.Selector.register
    monkeypatch.setattr(_state.Selector, "register", register)
    websocket = open_connection(echo_uri, **OFF)
    with websocket, keepalive(websocket, ping_interval=0.01) as alive:
        wait_until(lambda: alive.latency > 0)
    assert made
    assert not hasattr(_state.Selector(), "fileno")  # as epoll's and kqueue's have


@pytest.mark.parametrize("where", ["set_user_timeout", "start"])
def test_interrupted_on_entering_the_block(echo_uri, monkeypatch, where):
    class TimeLimit(BaseException):
        pass

    def strike(*args):
        calls.append(unpatched(*args))
        monkeypatch.undo()
        raise TimeLimit

    calls = []
    with open_connection(echo_uri, **OFF) as websocket:
        alive = keepalive(websocket)
        owner = _keepalive if where == "set_user_timeout" else alive._thread
        unpatched = getattr(owner, where)
        monkeypatch.setattr(owner, where, strike)
        with pytest.raises(TimeLimit), alive:
            pytest.fail("it wasn't struck")
        assert not thread_of(alive).is_alive()
        assert not get_user_timeout(websocket.socket)  # 0, or there is no such option
        websocket.send("still open")
        assert websocket.recv(timeout=5) == "still open"


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_block_that_is_entered_twice(echo_uri):
    with open_connection(echo_uri, **OFF) as websocket:
        alive = keepalive(websocket)
        with alive:
            pass
        with pytest.raises(RuntimeError), alive:
            pytest.fail("it can't")
        option = websocket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert option == 0
