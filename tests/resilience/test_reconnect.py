"""reconnect(), against a server that is killed and against servers that refuse."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import State
from websockets.sync.client import ClientConnection

from websockets_closefix import _provoke
from websockets_closefix.resilience import _ending, reconnect
from websockets_closefix.resilience._reconnect import Reconnect, process_exception
from websockets_closefix.resilience._state import is_reading, wait_until

from ..peers import client_context, server_context
from .conftest import serving
from .interrupts import TimeLimit, struck

# Elsewhere the loop's generator is closed some time later, as reconnect's docstring says.
closes_generators_at_once = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="this Python doesn't count references"
)

ours = pytest.mark.skipif(reconnect is not Reconnect, reason="this one is websockets' own")

SERVER = """
import sys
from websockets.sync.server import serve

def echo(websocket):
    for message in websocket:
        websocket.send(message)

with serve(echo, "127.0.0.1", int(sys.argv[1])) as server:
    print("listening", flush=True)
    server.serve_forever()
"""


class ServerProcess:
    """A server that can be killed, and started again on the same port."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as sock:
            self.port = sock.getsockname()[1]
        self.uri = f"ws://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout.readline() == "listening\n"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(5)
        self.process.stdout.close()


@pytest.fixture
def server_process():
    process = ServerProcess()
    yield process
    with contextlib.suppress(ValueError):
        process.kill()


@pytest.fixture
def sleeps(monkeypatch):
    """Record the delays instead of sleeping; the test says what happens meanwhile."""

    class Sleeps(list):
        meanwhile = staticmethod(lambda: None)

        def __call__(self, delay):
            self.append(delay)
            self.meanwhile()

    recorder = Sleeps()
    # Only where the loop is: others, such as subprocess, really have to sleep.
    clock = SimpleNamespace(**{**vars(time), "sleep": recorder})
    monkeypatch.setattr(sys.modules[reconnect.__module__], "time", clock)
    return recorder


def test_server_killed_and_restarted_thirty_times(server_process, sleeps):
    sleeps.meanwhile = server_process.start
    answers = []
    for turn, websocket in enumerate(reconnect(server_process.uri)):
        websocket.send(f"turn {turn}")
        answers.append(websocket.recv(timeout=5))
        if turn == 30:
            break
        server_process.kill()
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=5)
    assert answers == [f"turn {turn}" for turn in range(31)]
    # A delay for each time, always the first of the policy, because a success resets it.
    assert len(sleeps) == 30
    assert all(0 <= delay <= 5 for delay in sleeps)


def test_delays_are_those_of_the_policy(server_process, sleeps):
    server_process.kill()
    sleeps.meanwhile = lambda: server_process.start() if len(sleeps) == 5 else None
    with contextlib.closing(iter(reconnect(server_process.uri))) as connections:
        next(connections)
    assert 0 <= sleeps[0] <= 5
    assert sleeps[1] == pytest.approx(3.1)
    for delay, following in zip(sleeps[1:], sleeps[2:]):
        assert following == pytest.approx(1.618 * delay)
    assert len(sleeps) == 5


def test_injected_delays(server_process, sleeps):
    server_process.kill()
    sleeps.meanwhile = lambda: server_process.start() if len(sleeps) == 3 else None
    connections = iter(reconnect(server_process.uri, reconnect_delays=lambda: iter([1, 2, 3])))
    with contextlib.closing(connections):
        next(connections)
    assert sleeps == [1, 2, 3]


def nobody():
    """Return a URI at which there is no server any more."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"ws://127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
def one_refusal(sleeps):
    """Refuse the first handshake with a status, accept the next."""

    def serve_after(status):
        answers = iter([status])

        def process_request(connection, request):
            refusal = next(answers, None)
            return None if refusal is None else connection.respond(refusal, "")

        return serving(process_request=process_request)

    return serve_after


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_transient_refusal(one_refusal, sleeps, status):
    with one_refusal(status) as uri:
        for websocket in reconnect(uri):
            assert websocket.protocol.state is State.OPEN
            break
    assert len(sleeps) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_fatal_refusal(one_refusal, sleeps, status):
    with one_refusal(status) as uri, pytest.raises(InvalidStatus) as raised:
        next(iter(reconnect(uri)))
    assert raised.value.response.status_code == status
    assert raised.value.__cause__ is not raised.value
    assert sleeps == []


def test_handshake_cut_short(sleeps):
    """Three times, the server reads the request and hangs up; the fourth time it is gone."""

    class GivenUp(Exception):
        pass

    def cut_short():
        for _ in range(3):
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)

    def give_up():
        if len(sleeps) == 3:
            raise GivenUp

    sleeps.meanwhile = give_up
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=cut_short)
        thread.start()
        with pytest.raises(GivenUp):
            next(iter(reconnect(f"ws://127.0.0.1:{listener.getsockname()[1]}")))
        thread.join(5)


class LateConnection(ClientConnection):
    """Sends its request when the server has hung up already."""

    def handshake(self, *args, **kwargs):
        self.recv_events_thread.join(5)
        super().handshake(*args, **kwargs)


@ours
def test_server_hangs_up_before_the_request(sleeps):
    """As a proxy does whose backend is down."""

    def hang_up():
        for _ in range(3):
            listener.accept()[0].close()

    def close_listener():
        if len(sleeps) == 3:
            listener.close()

    sleeps.meanwhile = close_listener
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=hang_up)
        thread.start()
        delays = reconnect(
            uri, create_connection=LateConnection, reconnect_delays=lambda: iter([1, 2, 3])
        )
        with pytest.raises(RuntimeError):  # there are no more delays
            next(iter(delays))
        thread.join(5)
    assert sleeps == [1, 2, 3]


@ours
def test_delays_that_have_a_length_of_zero_are_not_asked_for_again(sleeps):
    class Delays:
        def __len__(self):
            return 0

        def __next__(self):
            if len(sleeps) == 3:
                raise LookupError
            return len(sleeps)

    made = []

    def delays():
        made.append(Delays())
        return made[-1]

    with pytest.raises(LookupError):
        next(iter(reconnect(nobody(), reconnect_delays=delays)))
    assert (sleeps, len(made)) == ([0, 1, 2], 1)


def test_certificate_that_cannot_be_verified_is_fatal():
    exc = ssl.SSLCertVerificationError("self-signed certificate")
    assert process_exception(exc) is exc
    assert process_exception(ConnectionResetError()) is None
    assert isinstance(process_exception(LookupError()), LookupError)


@ours
def test_tls_verification_is_fatal(sleeps):
    with serving(ssl=server_context) as uri, pytest.raises(ssl.SSLCertVerificationError):
        next(iter(reconnect(uri, ssl=ssl.create_default_context())))
    assert sleeps == []


def test_tls():
    with serving(ssl=server_context) as uri:
        for websocket in reconnect(uri, ssl=client_context):
            websocket.send("hello")
            assert websocket.recv(timeout=5) == "hello"
            break


def test_process_exception_may_replace_the_exception(sleeps):
    replacement = LookupError("nobody there")
    connections = iter(reconnect(nobody(), process_exception=lambda exc: replacement))
    with pytest.raises(LookupError, match="nobody there") as raised:
        next(connections)
    assert isinstance(raised.value.__cause__, ConnectionRefusedError)
    assert sleeps == []


def test_interrupted_while_waiting(sleeps):
    def interrupt():
        raise KeyboardInterrupt

    sleeps.meanwhile = interrupt
    with pytest.raises(KeyboardInterrupt):
        next(iter(reconnect(nobody())))


@closes_generators_at_once
def test_each_turn_closes_its_connection(echo_uri):
    connections = []
    for websocket in reconnect(echo_uri):
        assert all(earlier.protocol.state is State.CLOSED for earlier in connections)
        connections.append(websocket)
        if len(connections) == 3:
            break
    assert connections[-1].protocol.state is State.CLOSED
    assert len({id(websocket) for websocket in connections}) == 3


@closes_generators_at_once
def test_exception_from_the_body_closes_the_connection(echo_uri):
    connections = []

    def body():
        for websocket in reconnect(echo_uri):
            connections.append(websocket)
            raise LookupError

    with pytest.raises(LookupError):
        body()
    assert connections[0].protocol.state is State.CLOSED


@ours
def test_leaving_is_a_normal_closure(echo_uri):
    connections = iter(reconnect(echo_uri))
    websocket = next(connections)
    connections.close()
    assert websocket.protocol.close_code == 1000


def test_connection_lost_while_it_is_used():
    with _provoke.peer(_provoke.reset) as uri:
        for turn, websocket in enumerate(reconnect(uri)):
            if turn == 3:
                break
            websocket.send("reset, please")
            with pytest.raises(ConnectionClosed):
                websocket.recv(timeout=5)


@ours
@closes_generators_at_once
def test_turn_ends_while_another_thread_is_blocked_in_send():
    """Where close() would wait for it."""

    def send(websocket):
        with pytest.raises(ConnectionClosed):
            websocket.send(bytes(2**26))

    left, waited = threading.Event(), []
    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(_provoke.peer(lambda sock: waited.append(left.wait(10))))
        executor = stack.enter_context(ThreadPoolExecutor(1))
        for websocket in reconnect(uri, close_timeout=20, compression=None):
            sending = executor.submit(send, websocket)
            assert wait_until(websocket.protocol_mutex.locked, 5)
            break
        sending.result(5)
        left.set()
    assert waited == [True]


@ours
@closes_generators_at_once
def test_turn_ends_with_messages_unread():
    """Which keep the reader thread from the close frame behind them."""

    def send_many(websocket):
        for number in range(40):
            websocket.send(str(number))
        websocket.recv(timeout=5)

    def has_stopped_reading(websocket):
        return not is_reading(websocket)

    with serving(send_many) as uri:
        for websocket in reconnect(uri, close_timeout=20):
            assert wait_until(functools.partial(has_stopped_reading, websocket), 5)
            break
        assert websocket.protocol.close_code == 1000


@ours
@closes_generators_at_once
def test_iterator_that_is_collected_in_the_reader_thread():
    """There nothing may wait for a lock of the connection, nor for the thread itself."""

    class Collecting(ClientConnection):
        def process_event(self, event):
            if held:
                held.clear()  # the last reference
                collected.set()
            super().process_event(event)

    held, collected = [], threading.Event()
    with serving() as uri:
        connections = iter(reconnect(uri, create_connection=Collecting, close_timeout=20))
        websocket = next(connections)
        held.append(connections)
        del connections
        websocket.send("hello")
        assert collected.wait(5)
        websocket.recv_events_thread.join(5)
        assert not websocket.recv_events_thread.is_alive()


@ours
@pytest.mark.parametrize("moment", ["handshake", "close"])
def test_interrupted(echo_uri, monkeypatch, moment):
    """While it connects, and while it closes: the connection doesn't stay open."""

    class Interrupted(ClientConnection):
        def handshake(self, *args, **kwargs):
            readers.append(self.recv_events_thread)
            if moment == "handshake":
                raise KeyboardInterrupt
            super().handshake(*args, **kwargs)

    def interrupt(*args):
        raise KeyboardInterrupt

    readers = []
    connections = iter(reconnect(echo_uri, create_connection=Interrupted))
    if moment == "close":
        next(connections)
        monkeypatch.setattr(_ending, "wait_for_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(connections)
    readers[0].join(5)
    assert not readers[0].is_alive()


@ours
# Interrupted before it is known, a connection's socket is left to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_interrupted_at_every_line(server_side):
    def take_a_turn():
        with contextlib.closing(iter(reconnect(uri))) as turns:
            next(turns)

    uri, connections = server_side
    for at in range(1, 1000):
        with struck(at, TimeLimit()) as where, contextlib.suppress(TimeLimit):
            take_a_turn()
        if not where:
            break
        gc.collect()
        assert wait_until(lambda: not connections, 5), where
    assert 30 < at < 999


@ours
def test_no_lock_is_taken_that_an_interruption_could_leave_locked(echo_uri, monkeypatch):
    """logging.getLogger() has one, for the whole process, and connect() calls it."""

    def refuse(name=None):
        raise AssertionError("another thread would wait for it")

    with monkeypatch.context() as patched:
        patched.setattr(logging, "getLogger", refuse)
        with contextlib.closing(iter(reconnect(echo_uri))) as connections:
            assert next(connections).protocol.state is State.OPEN


@ours
def test_loop_that_is_left_half_way_when_python_shuts_down(echo_uri, python):
    """Its connection's threads run no more."""
    python(
        "import os\n"
        "from websockets_closefix.resilience import reconnect\n"
        "connections = iter(reconnect(os.environ['WEBSOCKET_URI'], close_timeout=300))\n"
        "websocket = next(connections)\n",
        WEBSOCKET_URI=echo_uri,
    )
