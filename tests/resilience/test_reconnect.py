"""reconnect(), against a server that is killed and against servers that refuse."""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import logging
import random
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidHandshake,
    InvalidStatus,
)
from websockets.protocol import State
from websockets.sync.client import ClientConnection

import websockets_closefix
from websockets_closefix.resilience import reconnect

from ..conftest import collect_what_nobody_counts, ends
from .interrupts import TimeLimit, struck
from .peers import (
    client_context,
    is_paused,
    peer,
    reset,
    server_context,
    serving,
    wait_until,
)

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
        self.port = port_of_its_own()
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
        self.process.kill()
        self.process.wait(5)
        self.process.stdout.close()


def port_of_its_own():
    """Return a free port that nobody is given who asks for any, while the server is down."""
    for port in random.sample(range(20000, 32768), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


@pytest.fixture
def server_process():
    process = ServerProcess()
    yield process
    with contextlib.suppress(ValueError):
        process.kill()


@pytest.fixture
def sleeps(clock):
    """Record the delays instead of sleeping; the test says what happens meanwhile."""

    class Sleeps(list):
        meanwhile = staticmethod(lambda: None)

        def __call__(self, delay):
            self.append(delay)
            clock.advance(delay)
            self.meanwhile()

    clock.sleep = Sleeps()
    return clock.sleep


def test_server_killed_and_restarted_ten_times(server_process, sleeps, clock):
    sleeps.meanwhile = server_process.start
    answers = []
    for turn, websocket in enumerate(reconnect(server_process.uri)):
        websocket.send(f"turn {turn}")
        answers.append(websocket.recv(timeout=5))
        if turn == 10:
            break
        server_process.kill()
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=5)
        clock.advance(100)
    assert answers == [f"turn {turn}" for turn in range(11)]
    # A delay for each time, always the first of the policy, because a long turn resets it.
    assert len(sleeps) == 10
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


def try_later(websocket):
    """As a server does that is overloaded, or doesn't like the token."""
    websocket.close(1013, "try again later")


def wait_for_close(websocket):
    with contextlib.suppress(ConnectionClosed):
        websocket.recv(timeout=5)


def test_server_that_accepts_and_closes_at_once_is_asked_less_and_less(sleeps):
    delays = (1, 2, 4, 8)
    with serving(try_later) as uri:
        connections = reconnect(uri, reconnect_delays=lambda: iter(delays))
        with pytest.raises(ConnectionClosedError) as raised:
            collections.deque(map(wait_for_close, connections))
    assert sleeps == [pytest.approx(delay, abs=0.9) for delay in delays]
    assert all(waited < delay for waited, delay in zip(sleeps, delays))  # the turn counts, too
    assert raised.value.rcvd.code == 1013  # the error that ended the last turn


def test_turn_that_lasted_resets_the_delays(sleeps, clock):
    lengths, made = (0, 0, 3, 1000, 0, 0), []

    def delays():
        made.append(iter((1, 2, 4)))
        return made[-1]

    with serving(try_later) as uri:
        for length, websocket in zip(lengths, reconnect(uri, reconnect_delays=delays)):
            wait_for_close(websocket)
            clock.advance(length)
    # 1; 2; 1 of 4; none, because the fourth turn was longer than the last delay; 1 again.
    assert list(map(round, sleeps)) == [1, 2, 1, 1]
    assert len(made) == 2


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


@pytest.fixture(params=["with the shim", "without the shim"])
def with_and_without_shim(request):
    """From 13.1 to 14.1, it changes what connect() raises."""
    if request.param == "without the shim":
        websockets_closefix.unapply()


def test_handshake_cut_short(sleeps, with_and_without_shim):
    """Three times, the server reads the request and closes; the fourth time it is gone."""

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


def test_server_of_another_protocol_is_fatal(sleeps, with_and_without_shim):
    def greet():
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            sock.sendall(b"220 mail.example.com ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises((ValueError, InvalidHandshake)):
            next(iter(reconnect(f"ws://127.0.0.1:{listener.getsockname()[1]}")))
        thread.join(5)
    assert sleeps == []


class LateConnection(ClientConnection):
    """Sends its request when the server has shut the socket down already."""

    def handshake(self, *args, **kwargs):
        self.recv_events_thread.join(5)
        super().handshake(*args, **kwargs)


def test_server_closes_before_the_request(sleeps):
    """As a proxy does whose backend is down."""

    def close_at_once():
        for _ in range(4):
            listener.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=close_at_once)
        thread.start()
        connections = reconnect(
            uri, create_connection=LateConnection, reconnect_delays=lambda: iter([1, 2, 3])
        )
        with pytest.raises((ConnectionClosed, EOFError, OSError)):  # there are no more delays
            next(iter(connections))
        thread.join(5)
    assert sleeps == [1, 2, 3]


@pytest.mark.parametrize("delays", [[], [1], [0, 0, 0], [1, 2, 3]])
def test_giving_up(sleeps, delays):
    """After one attempt more than there are delays, with the error of the last."""
    attempts = []

    def policy(exc):
        attempts.append(exc)

    connections = reconnect(
        nobody(), reconnect_delays=lambda: iter(delays), process_exception=policy
    )
    with pytest.raises(ConnectionRefusedError) as raised:
        next(iter(connections))
    assert raised.value is attempts[-1]
    assert sleeps == delays
    assert len(attempts) == len(delays) + 1


def test_giving_up_counts_from_the_last_turn_that_lasted(sleeps, clock):
    """A long turn is followed by another attempt, however many delays there were before it."""

    def refuse_but_one(connection, request):
        return None if next(attempts) == 3 else connection.respond(503, "")

    attempts = itertools.count(1)

    def last(websocket):
        clock.advance(100)
        websocket.close()

    with serving(process_request=refuse_but_one) as uri:
        connections = reconnect(uri, reconnect_delays=lambda: iter([1, 2]))
        with pytest.raises(InvalidStatus):
            collections.deque(map(last, connections))
    # Two attempts before the turn; after it one at once, and two that are delayed.
    assert sleeps == [1, 2, 1, 2]


def test_stopping_from_outside():
    """By delays that wait for an event, and end."""

    def delays():
        waiting.set()
        stop.wait(20)
        return iter(())

    waiting, stop = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as executor:
        stopping = executor.submit(next, iter(reconnect(nobody(), reconnect_delays=delays)))
        assert waiting.wait(5)
        stop.set()
        with pytest.raises(ConnectionRefusedError):
            stopping.result(5)


def test_delays_that_wait_themselves_count(sleeps, clock):
    """A turn that was shorter than that doesn't reset them."""

    def delays():
        for delay in made:
            clock.advance(delay)
            yield 0

    made = iter((1, 2, 4))
    with serving(try_later) as uri, pytest.raises(ConnectionClosedError):
        collections.deque(map(wait_for_close, reconnect(uri, reconnect_delays=delays)))
    assert sleeps == [0, 0, 0]


def test_closing_the_connection_starts_the_next_turn(echo_uri, sleeps, clock):
    """From another thread, too."""
    with ThreadPoolExecutor(1) as executor:
        for turn, websocket in enumerate(reconnect(echo_uri)):
            if turn == 3:
                break
            clock.advance(100)
            executor.submit(websocket.close).result(5)
            assert list(websocket) == []  # the iterator ends normally
    assert sleeps == []


def test_address_and_token_of_each_turn(sleeps):
    def record(connection, request):
        seen.append((request.path, request.headers["Authorization"]))
        return connection.respond(503, "") if len(seen) == 2 else None

    def uri():
        return f"{base}/?cursor={len(seen)}"

    def headers():
        return {"Authorization": f"token {len(seen)}"}

    seen = []
    with serving(process_request=record) as base:
        for websocket in reconnect(uri, additional_headers=headers):
            websocket.close()
            if len(seen) == 3:
                break
    assert seen == [(f"/?cursor={number}", f"token {number}") for number in range(3)]
    assert len(sleeps) == 2


def test_token_that_cannot_be_had(sleeps):
    """An OSError is transient, as if it were the server's, and others are fatal."""

    def headers():
        raise next(errors)

    errors = iter([ConnectionResetError(), LookupError()])
    with pytest.raises(LookupError):
        next(iter(reconnect(nobody(), additional_headers=headers)))
    assert len(sleeps) == 1


def test_delays_that_have_a_length_of_zero_are_not_asked_for_again(sleeps):
    class Delays:
        def __len__(self):
            return 0

        def __iter__(self):
            return self

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


def test_each_turn_closes_its_connection(echo_uri, sleeps):
    connections = []
    for websocket in reconnect(echo_uri):
        assert all(earlier.protocol.state is State.CLOSED for earlier in connections)
        connections.append(websocket)
        if len(connections) == 3:
            break
    del websocket
    collect_what_nobody_counts()
    assert connections[-1].protocol.state is State.CLOSED
    assert len({id(websocket) for websocket in connections}) == 3


def test_exception_from_the_body_closes_the_connection(echo_uri):
    connections = []

    def body():
        for websocket in reconnect(echo_uri):
            connections.append(websocket)
            raise LookupError

    with pytest.raises(LookupError):
        body()
    collect_what_nobody_counts()
    assert connections[0].protocol.state is State.CLOSED


def test_leaving_is_a_normal_closure(echo_uri):
    connections = iter(reconnect(echo_uri))
    websocket = next(connections)
    connections.close()
    assert websocket.protocol.close_code == 1000


def test_connection_lost_while_it_is_used(sleeps):
    with peer(reset) as uri:
        for turn, websocket in enumerate(reconnect(uri)):
            websocket.send("reset, please")
            with pytest.raises(ConnectionClosed):
                websocket.recv(timeout=5)
            if turn == 3:
                break


def test_turn_ends_while_another_thread_is_blocked_in_send():
    """Where close() would wait for it."""

    def send(websocket):
        with pytest.raises(ConnectionClosed):
            websocket.send(bytes(2**26))

    left, waited = threading.Event(), []
    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(peer(lambda sock: waited.append(left.wait(10))))
        executor = stack.enter_context(ThreadPoolExecutor(1))
        for websocket in reconnect(uri, close_timeout=20, compression=None):
            sending = executor.submit(send, websocket)
            wait_until(websocket.protocol_mutex.locked)
            break
        collect_what_nobody_counts()
        sending.result(5)
        left.set()
    assert waited == [True]


@pytest.mark.timeout(30)
def test_turn_ends_at_once_although_a_lock_stays_locked(echo_uri):
    """As an interrupted send() may leave it."""
    with contextlib.closing(iter(reconnect(echo_uri, close_timeout=300))) as connections:
        websocket = next(connections)
        websocket.protocol_mutex.acquire()
    websocket.protocol_mutex.release()
    assert ends(websocket.recv_events_thread)


def test_turn_ends_with_messages_unread():
    """Which keep the reader thread from the close frame behind them."""

    def send_many(websocket):
        for number in range(40):
            websocket.send(str(number))
        websocket.recv(timeout=5)

    with serving(send_many) as uri:
        for websocket in reconnect(uri, close_timeout=20):
            wait_until(functools.partial(is_paused, websocket))
            break
        collect_what_nobody_counts()
        assert websocket.protocol.close_code == 1000


def test_iterator_that_is_collected_in_the_reader_thread():
    """There nothing may wait for a lock of the connection, nor for the thread itself."""

    class Collecting(ClientConnection):
        def process_event(self, event):
            if held:
                held.clear()  # the last reference
                collect_what_nobody_counts()
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
        assert ends(websocket.recv_events_thread)


def test_interrupted_while_it_connects(echo_uri):
    """The connection doesn't stay open."""

    class Interrupted(ClientConnection):
        def handshake(self, *args, **kwargs):
            readers.append(self.recv_events_thread)
            raise KeyboardInterrupt

    readers = []
    with pytest.raises(KeyboardInterrupt):
        next(iter(reconnect(echo_uri, create_connection=Interrupted)))
    readers[0].join(5)
    assert not readers[0].is_alive()


# Interrupted before it is known, a connection's socket is left to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_interrupted_at_every_line(server_side):
    def take_a_turn():
        with contextlib.closing(iter(reconnect(uri))) as turns:
            next(turns)

    uri, connections = server_side
    for at in range(1, 1000):
        with struck(at, TimeLimit) as where, contextlib.suppress(TimeLimit):
            take_a_turn()
        if not where:
            break
        wait_until(lambda: not connections, where)
    assert 30 < at < 999


def test_no_lock_is_taken_that_an_interruption_could_leave_locked(echo_uri, monkeypatch):
    """logging.getLogger() has one, for the whole process, and connect() calls it."""

    def refuse(name=None):
        raise AssertionError("another thread would wait for it")

    with monkeypatch.context() as patched:
        patched.setattr(logging, "getLogger", refuse)
        with contextlib.closing(iter(reconnect(echo_uri))) as connections:
            assert next(connections).protocol.state is State.OPEN


def test_loop_that_is_left_half_way_when_python_shuts_down(echo_uri, python):
    """Its connection's threads run no more."""
    python(
        "import os\n"
        "from websockets_closefix.resilience import reconnect\n"
        "connections = iter(reconnect(os.environ['WEBSOCKET_URI'], close_timeout=300))\n"
        "websocket = next(connections)\n",
        WEBSOCKET_URI=echo_uri,
    )
