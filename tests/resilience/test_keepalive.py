"""keepalive(), against a relay that swallows everything."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.version import version

from websockets_closefix.resilience import _keepalive, keepalive

from .interrupts import TimeLimit, struck
from .peers import (
    HAS_ITS_OWN_KEEPALIVE,
    OFF,
    client_context,
    is_paused,
    open_connection,
    peer,
    server_context,
    serving,
    stay_silent,
    wait_until,
)
from .relay import Relay


@pytest.fixture
def relay(echo_uri):
    with Relay(echo_uri) as relay:
        yield relay


def pinging():
    """Return the threads that send pings; each test has one at most."""
    return [thread for thread in threading.enumerate() if thread.name == "keepalive"]


def notice_half_open_peer(relay, uri, **kwargs):
    websocket = open_connection(uri, **kwargs, **OFF)
    with keepalive(websocket, ping_interval=0.2, ping_timeout=0.2) as alive:
        wait_until(lambda: alive.latency > 0)
        relay.swallowing.set()
        started = time.monotonic()
        with pytest.raises(ConnectionClosedError) as raised:
            websocket.recv(timeout=10)
        elapsed = time.monotonic() - started
        wait_until(lambda: not pinging())
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


@pytest.mark.skipif(not HAS_ITS_OWN_KEEPALIVE, reason="this release has no keepalive of its own")
def test_websockets_own_keepalive_gives_the_same(relay):
    websocket = open_connection(relay.uri, ping_interval=0.2, ping_timeout=0.2, close_timeout=0.1)
    relay.swallowing.set()
    with pytest.raises(ConnectionClosedError) as raised:
        websocket.recv(timeout=10)
    assert raised.value.sent.code == 1011
    assert raised.value.sent.reason == "keepalive ping timeout"
    assert raised.value.rcvd is None


@pytest.mark.skipif(not HAS_ITS_OWN_KEEPALIVE, reason="this release has no keepalive of its own")
def test_nothing_is_switched_on_twice(echo_uri, caplog):
    websocket = open_connection(echo_uri, ping_interval=20, ping_timeout=20)
    threads = threading.active_count()
    with keepalive(websocket) as alive:
        assert threading.active_count() == threads
        assert alive.latency == websocket.latency
    assert "keepalive() does nothing" in caplog.text
    assert "ping_interval=None" in caplog.text
    assert caplog.records[-1].levelname == "WARNING"
    websocket.close()


def test_latency(relay):
    websocket = open_connection(relay.uri, **OFF)
    with keepalive(websocket, ping_interval=0.01) as alive:
        assert alive.latency == 0
        wait_until(lambda: alive.latency > 0)
        assert alive.latency < 5
    websocket.close()


def test_delayed_pong_is_no_reason_to_fail(relay):
    websocket = open_connection(relay.uri, **OFF)
    relay.hold_back.clear()
    with keepalive(websocket, ping_interval=0.05, ping_timeout=20) as alive:
        wait_until(lambda: pongs_awaited(websocket))
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
def inattentive(set_constants):
    """Poll the connection so seldom that a test can't pass by it."""
    set_constants(CHECK_INTERVAL=300)


def test_ends_with_the_block_while_it_waits_to_ping(echo_uri, inattentive):
    websocket = open_connection(echo_uri, **OFF)
    with keepalive(websocket):
        assert pinging()[0].daemon
    assert not pinging()
    websocket.send("still open")
    assert websocket.recv(timeout=5) == "still open"
    websocket.close()


def test_ends_with_the_block_while_it_waits_for_a_pong(relay, inattentive):
    websocket = open_connection(relay.uri, **OFF)
    relay.swallowing.set()
    with keepalive(websocket, ping_interval=0.01):
        wait_until(lambda: pongs_awaited(websocket))
    assert not pinging()
    assert websocket.protocol.state is State.OPEN
    relay.reset()
    websocket.close()


class SignallingLock:
    """Tells when a thread waits for it with a bound, as only keepalive() does."""

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


def test_does_nothing_after_the_block_if_another_thread_was_sending(echo_uri, set_constants):
    set_constants(CHECK_INTERVAL=0.1)
    websocket = open_connection(echo_uri, **OFF)
    lock = websocket.protocol_mutex = SignallingLock(websocket.protocol_mutex)
    with lock.lock:
        with keepalive(websocket, ping_interval=0.01, ping_timeout=0.01):
            assert lock.asked.wait(5)
        wait_until(lambda: not pinging())
    websocket.send("still open")
    assert websocket.recv(timeout=5) == "still open"
    websocket.close()


def test_ends_with_the_connection(relay):
    websocket = open_connection(relay.uri, **OFF)
    with keepalive(websocket):
        relay.reset()
        wait_until(lambda: not pinging())


def test_ends_quietly_with_a_connection_that_ends_when_the_ping_is_due(
    echo_uri, caplog, monkeypatch
):
    websocket = open_connection(echo_uri, **OFF)
    ping = websocket.ping

    def ping_too_late():
        websocket.close()
        return ping()

    monkeypatch.setattr(websocket, "ping", ping_too_late)
    with keepalive(websocket, ping_interval=0.01, ping_timeout=1):
        wait_until(lambda: not pinging())
    assert caplog.records == []


def test_ends_with_the_connection_while_it_waits_for_a_pong(relay):
    websocket = open_connection(relay.uri, **OFF)
    relay.swallowing.set()
    with keepalive(websocket, ping_interval=0.01):
        wait_until(lambda: pongs_awaited(websocket))
        relay.reset()
        wait_until(lambda: not pinging())


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


def recv_without_a_pong(relay, websocket, act):
    """Act once a ping is sent whose pong won't come; return what recv() raises in the end."""

    def ping_and_act():
        pong = ping()
        act()
        return pong

    ping, websocket.ping = websocket.ping, ping_and_act
    relay.swallowing.set()
    alive = keepalive(websocket, ping_interval=0.05, ping_timeout=0.1)
    with alive, pytest.raises(ConnectionClosedError) as raised:
        websocket.recv(timeout=10)
    return raised.value


def test_close_frame_that_cannot_be_sent(relay):
    def fail_from_now_on():
        websocket.send_data = failing_send_data

    websocket = open_connection(relay.uri, **OFF)
    assert recv_without_a_pong(relay, websocket, fail_from_now_on).sent.code == 1011


def is_shut_down(sock):
    if sys.platform == "win32":
        return sock.fileno() == -1  # it is closed as well
    with contextlib.suppress(BlockingIOError, socket.timeout):  # from 3.10 on, TimeoutError
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    return False


def failing_send_data():
    raise TimeoutError("the peer reads nothing")


def test_unexpected_error_is_logged_and_ends_it(echo_uri, caplog, monkeypatch):
    websocket = open_connection(echo_uri, **OFF)

    def broken_ping():
        raise LookupError("broken")

    monkeypatch.setattr(websocket, "ping", broken_ping)
    with keepalive(websocket, ping_interval=0.01):
        wait_until(lambda: not pinging())
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
            wait_until(lambda: any(pong._cond._waiters for pong in pongs_awaited(websocket)))
        assert not pinging()
        assert alive.latency == 0
        websocket.close_timeout = 0.05
        websocket.close()


def test_failing_a_connection_that_is_closing_already(relay):
    """The close frame that was sent first counts."""

    def close():
        with websocket.protocol_mutex:
            websocket.protocol.send_close(1001)

    websocket = open_connection(relay.uri, **OFF)
    assert recv_without_a_pong(relay, websocket, close).sent.code == 1001


def test_failing_a_connection_whose_mutex_stays_locked(relay):
    """Until the socket is shut down; recv() needs it, too."""

    def lock():
        websocket.protocol_mutex.acquire()
        unlocking.start()

    def unlock():
        wait_until(lambda: is_shut_down(websocket.socket))
        websocket.protocol_mutex.release()

    websocket, unlocking = open_connection(relay.uri, **OFF), threading.Thread(target=unlock)
    assert recv_without_a_pong(relay, websocket, lock).sent is None
    unlocking.join(5)


def test_waits_for_no_pong_once_the_block_has_ended(echo_uri, set_constants):
    def ping():
        pinged.set()
        release.wait(10)
        return threading.Event()  # of a pong that never comes

    set_constants(CHECK_INTERVAL=0.1)
    pinged, release = threading.Event(), threading.Event()
    websocket = open_connection(echo_uri, **OFF)
    websocket.ping = ping
    with keepalive(websocket, ping_interval=0.01):
        assert pinged.wait(5)
    assert pinging()
    set_constants(CHECK_INTERVAL=300)
    release.set()
    wait_until(lambda: not pinging())
    websocket.close()


def test_program_that_is_slow_to_read_has_no_dead_peer(set_constants):
    """Unread messages keep the reader thread from the pong behind them: none is asked for."""
    set_constants(CHECK_INTERVAL=0.01)

    def send_many(websocket):
        for number in range(40):
            websocket.send(str(number))
        assert websocket.recv(timeout=20) == "read"

    with serving(send_many, **OFF) as uri:
        websocket = open_connection(uri, **OFF)
        wait_until(lambda: is_paused(websocket))
        with keepalive(websocket, ping_interval=0.05, ping_timeout=0.2) as alive:
            threading.Event().wait(0.8)  # much longer
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
            threading.Event().wait(0.5)  # the server has shut its socket down
            assert [websocket.recv(timeout=5) for _ in range(10)] == list(map(str, range(10)))
        websocket.close()


def test_program_that_becomes_slow_while_a_pong_is_due(set_constants):
    """It may last as long as it likes; then the pong has to come."""

    def send_many_instead_of_a_pong(sock):
        sock.recv(65536)
        sock.sendall(b"\x81\x04tick" * 40)
        stay_silent(sock)

    set_constants(CHECK_INTERVAL=0.01)
    with peer(send_many_instead_of_a_pong) as uri:
        websocket = open_connection(uri, **OFF)
        with keepalive(websocket, ping_interval=0.01, ping_timeout=0.5):
            wait_until(lambda: is_paused(websocket))
            threading.Event().wait(1)  # twice as long
            assert [websocket.recv(timeout=5) for _ in range(40)] == ["tick"] * 40
            with pytest.raises(ConnectionClosedError, match="keepalive ping timeout"):
                websocket.recv(timeout=10)


def test_slow_program_is_looked_at_now_and_then_although_its_latest_pong_came_late(monkeypatch):
    """Later than the next ping was due."""

    def answer_late_and_send_many(sock):
        protocol = ServerProtocol(state=State.OPEN)
        protocol.receive_data(sock.recv(65536))
        time.sleep(0.1)
        sock.sendall(b"".join(protocol.data_to_send()) + b"\x81\x04tick" * 40)
        stay_silent(sock)

    def look(websocket):
        looks.append(websocket)
        return is_reading(websocket)

    looks, is_reading = [], _keepalive.is_reading
    with peer(answer_late_and_send_many) as uri:
        websocket = open_connection(uri, **OFF)
        with keepalive(websocket, ping_interval=0.05, ping_timeout=5) as alive:
            wait_until(lambda: alive.latency > 0.05 and is_paused(websocket))
            monkeypatch.setattr(_keepalive, "is_reading", look)
            threading.Event().wait(0.5)
            assert 0 < len(looks) < 50
        assert len([websocket.recv(timeout=5) for _ in range(40)]) == 40
        websocket.socket.shutdown(socket.SHUT_RDWR)


def test_process_that_stood_still_has_no_dead_peer(echo_uri, monkeypatch):
    """As it goes on, the deadline has passed, and the reader thread hasn't had its turn yet."""

    class Clock:
        ahead = 0
        monotonic = staticmethod(lambda: time.monotonic() + Clock.ahead)

    class Pong(threading.Event):
        def wait(self, timeout):
            if not Clock.ahead:
                Clock.ahead = 1000
                return False
            reading = threading.Timer(0.01, self.set)
            reading.start()
            return super().wait(timeout) and not reading.join()

    monkeypatch.setattr(_keepalive, "time", Clock)
    with open_connection(echo_uri, **OFF) as websocket:
        websocket.ping = Pong
        with keepalive(websocket, ping_interval=0.01, ping_timeout=1) as alive:
            wait_until(lambda: alive.latency > 0)
        assert websocket.protocol.state is State.OPEN


def test_latency_without_ping_timeout(echo_uri):
    websocket = open_connection(echo_uri, **OFF)
    with websocket, keepalive(websocket, ping_interval=0.01, ping_timeout=None) as alive:
        wait_until(lambda: alive.latency > 0)


def test_program_that_sends_without_a_pause_is_pinged_too(relay, set_constants):
    """A half-open peer behind a proxy takes all that it is sent."""
    set_constants(SEND_TIMEOUT=5)  # a busy machine rarely finds the mutex free

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


def test_needs_no_descriptors(echo_uri):
    """An application that has run out of them isn't cut off."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open_connection(echo_uri, **OFF) as websocket:
        os.close(lowest_free := os.dup(0))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            try:
                os.urandom(1)  # as websockets does for each frame
            except OSError:
                pytest.skip("this Python opens one for random numbers")
            with keepalive(websocket, ping_interval=0.01) as alive:
                wait_until(lambda: alive.latency > 0)
                with pytest.raises(OSError, match="Too many open files"):
                    os.dup(0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_interrupted_on_entering_the_block(echo_uri):
    """At any line: no thread is left behind, and the option is as it was."""
    for at in range(1, 100):
        with open_connection(echo_uri, **OFF) as websocket:
            alive = keepalive(websocket)
            with struck(at, TimeLimit) as where, contextlib.suppress(TimeLimit):
                alive.__enter__()
            if not where:
                alive.__exit__()
                break
            wait_until(lambda: not pinging())
            option = getattr(socket, "TCP_USER_TIMEOUT", None)
            assert not (option and websocket.socket.getsockopt(socket.IPPROTO_TCP, option)), where
            websocket.send("still open")
            assert websocket.recv(timeout=5) == "still open"
    assert 10 < at < 99


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
