"""reconnect(), against a server that is killed and against servers that refuse."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import State

from websockets_closefix import _provoke
from websockets_closefix.resilience import reconnect
from websockets_closefix.resilience._reconnect import Reconnect, process_exception

from ..peers import client_context, server_context
from .conftest import serving

# Elsewhere the loop's generator is closed some time later, as reconnect's docstring says.
closes_generators_at_once = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="this Python doesn't count references"
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


def test_certificate_that_cannot_be_verified_is_fatal():
    exc = ssl.SSLCertVerificationError("self-signed certificate")
    assert process_exception(exc) is exc
    assert process_exception(ConnectionResetError()) is None
    assert isinstance(process_exception(LookupError()), LookupError)


@pytest.mark.skipif(reconnect is not Reconnect, reason="websockets' own retries")
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
    with socket.create_server(("127.0.0.1", 0)) as sock:
        uri = f"ws://127.0.0.1:{sock.getsockname()[1]}"
    replacement = LookupError("nobody there")
    connections = iter(reconnect(uri, process_exception=lambda exc: replacement))
    with pytest.raises(LookupError, match="nobody there") as raised:
        next(connections)
    assert isinstance(raised.value.__cause__, ConnectionRefusedError)
    assert sleeps == []


def test_interrupted_while_waiting(sleeps):
    def interrupt():
        raise KeyboardInterrupt

    sleeps.meanwhile = interrupt
    with socket.create_server(("127.0.0.1", 0)) as sock:
        uri = f"ws://127.0.0.1:{sock.getsockname()[1]}"
    with pytest.raises(KeyboardInterrupt):
        next(iter(reconnect(uri)))


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


@pytest.mark.skipif(reconnect is not Reconnect, reason="websockets' own says 1011")
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
