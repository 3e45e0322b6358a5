"""A server's shutdown() returns wherever it is called, and closes connections as ever."""

from __future__ import annotations

import contextlib
import sys
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed

import websockets_closefix
from websockets_closefix._repro.sync import server_shutdown
from websockets_closefix._repro.sync.ends import open_connection
from websockets_closefix._repro.sync.observing import Caller, has_ended
from websockets_closefix._repro.waiting import wait_until

from ...conftest import bugs_of_the_release, has_bug, installed_release, posix

has_fix = has_bug("sync.server_shutdown")
has_fix_or_is_reference = pytest.mark.skipif(
    installed_release() != "16.1.1" and "sync.server_shutdown" not in bugs_of_the_release(),
    reason="older servers are no reference",
)


@has_fix_or_is_reference
@pytest.mark.parametrize("scenario", server_shutdown.SCENARIOS, ids=lambda s: s.name)
def test_returns_as_the_reference_does(scenario):
    started_at = time.monotonic()
    assert scenario.end_connection("server") == (None, None)
    assert time.monotonic() - started_at < 2


@contextlib.contextmanager
def serving(handler, **kwargs):
    """Run a server in a thread, yield it and its URI, and shut it down."""
    with server_shutdown.created(handler=handler, **kwargs) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server, f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(5)
        assert not thread.is_alive()


def receive_until_closed(websocket):
    with contextlib.suppress(ConnectionClosed):
        for message in websocket:
            websocket.send(message)


def close_code(websocket):
    with pytest.raises(ConnectionClosed):
        websocket.recv(timeout=5)
    return websocket.protocol.close_code


# In a signal handler. A program of its own, which ends by itself as a process manager expects.

SIGNALLED = """
import contextlib, os, signal, threading, time
import websockets_closefix
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve

def say(line):
    os.write(1, f"{{line}}\\n".encode())  # in one go

def handle(websocket):
    with contextlib.suppress(ConnectionClosed):
        for message in websocket:
            pass
    say(f"handler {{websocket.protocol.close_code}}")

server = serve(handle, "127.0.0.1", 0, close_timeout=1)
address = server.socket.getsockname()
signal.signal(signal.SIGTERM, lambda *_: (server.shutdown({arguments}), say("shut down")))

def use():
    with connect(f"ws://127.0.0.1:{{address[1]}}", proxy=None) as websocket:
        websocket.send("hello")
        terminate()
        if "False" in "{arguments}":
            time.sleep(0.3)
            say(f"still open {{websocket.protocol.state.name}}")
            websocket.close()
        with contextlib.suppress(ConnectionClosed):
            websocket.recv()
        say(f"client {{websocket.protocol.close_code}}")

def terminate():
    for _ in range({signals}):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
        time.sleep(0.05)

threading.Thread(target={target}).start()
{serve}
say("served")
"""

SERVE = "server.serve_forever()"
SERVE_WITH = "with server:\n    server.serve_forever()"


def signalled(python, **parts):
    parts = {"arguments": "", "signals": 1, "target": "use", "serve": SERVE, **parts}
    return sorted(python(SIGNALLED.format(**parts)).stdout.splitlines())


@posix
@has_fix
@pytest.mark.parametrize("serve", [SERVE, SERVE_WITH], ids=["bare", "with"])
def test_signal_without_connections(python, serve):
    wait = "lambda: (time.sleep(0.3), terminate())"
    assert signalled(python, target=wait, serve=serve) == ["served", "shut down"]


@posix
@has_fix
@pytest.mark.parametrize("serve", [SERVE, SERVE_WITH], ids=["bare", "with"])
def test_signal_with_connections_closes_them(python, serve):
    """Also when the program has come to its end, where concurrent.futures isn't to be had."""
    lines = signalled(python, serve=serve)
    assert lines == ["client 1001", "handler 1001", "served", "shut down"]


@posix
@posix
@has_fix
@pytest.mark.parametrize("serve", [SERVE, SERVE_WITH], ids=["bare", "with"])
def test_second_signal(python, serve):
    lines = signalled(python, signals=2, serve=serve)
    assert {"client 1001", "handler 1001", "served", "shut down"} == set(lines)


@posix
@has_fix
def test_signal_that_leaves_connections_open(python):
    lines = signalled(python, arguments="close_connections=False")
    assert lines == ["client 1000", "handler 1000", "served", "shut down", "still open OPEN"]


@posix
@has_fix
def test_signal_passes_code_and_reason_on(python):
    lines = signalled(python, arguments="code=4000, reason='bye'")
    assert lines == ["client 4000", "handler 4000", "served", "shut down"]


INTERRUPTED = """
import signal, socket, threading, time
import websockets_closefix
from websockets.sync.server import serve

def interrupt(*_):
    raise KeyboardInterrupt

def signal_twice():
    for number in 2 * [signal.SIGTERM]:
        time.sleep(0.2)
        signal.pthread_kill(threading.main_thread().ident, number)

signal.signal(signal.SIGALRM, interrupt)
signal.signal(signal.SIGTERM, lambda *_: (server.shutdown(), print("shut down")))
try:
    with serve(lambda websocket: None, "127.0.0.1", 0, open_timeout=2) as server:
        client = socket.create_connection(server.socket.getsockname())
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        threading.Timer(0.5, signal_twice).start()
        server.serve_forever()
except KeyboardInterrupt:
    print("interrupted", len(server.handler_threads))
"""


@posix
@has_fix
def test_signal_while_the_server_is_being_shut_down(python):
    """Ctrl-C has the with statement wait, in shutdown(), for a client that asks for nothing."""
    lines = python(INTERRUPTED).stdout.splitlines()
    assert lines == ["shut down", "shut down", "interrupted 0"]


# In a handler.


@has_fix
def test_handler_that_shuts_down_closes_all_connections():
    def handle(websocket):
        if websocket.recv() == "shut down":
            server.shutdown()
            returned.set()
        receive_until_closed(websocket)

    returned = threading.Event()
    with serving(handle) as (server, uri):
        one, other = open_connection(uri), open_connection(uri)
        one.send("wait")
        wait_until(lambda: len(server.connections) == 2)
        other.send("shut down")
        assert returned.wait(5)
        assert close_code(one) == close_code(other) == 1001
        wait_until(lambda: not server.handler_threads)


@has_fix
def test_two_handlers_that_shut_down():
    def handle(websocket):
        both.wait(5)
        server.shutdown()
        returned.append(websocket)

    both, returned = threading.Barrier(2), []
    with serving(handle) as (server, uri):
        clients = [open_connection(uri) for _ in range(2)]
        wait_until(lambda: len(returned) == 2)
        assert {close_code(client) for client in clients} <= {1000, 1001}


@has_fix
def test_shutdown_while_a_request_is_processed():
    """process_request runs in the handler's thread; its connection is turned away."""

    def shut_down(connection, request):
        server.shutdown()
        returned.set()

    returned = threading.Event()
    with serving(receive_until_closed, process_request=shut_down) as (server, uri):
        caller = Caller(lambda: open_connection(uri))
        caller.start()
        assert returned.wait(5)
        assert has_ended(caller)
    assert type(caller.raised).__name__ in ("InvalidStatus", "InvalidMessage", "NoneType")


# Without serve_forever(), and twice.


@has_fix
def test_shutdown_without_serve_forever_twice():
    with server_shutdown.created() as server:
        for act in (server.shutdown, server.shutdown, server.serve_forever):
            caller = Caller(act)
            caller.start()
            assert has_ended(caller, 2)
            assert caller.raised is None


@has_fix
def test_shutdown_twice_with_connections():
    with serving(receive_until_closed) as (server, uri):
        client = open_connection(uri)
        callers = [Caller(server.shutdown) for _ in range(2)]
        for caller in callers:
            caller.start()
        assert close_code(client) == 1001
        for caller in callers:
            assert has_ended(caller)
            assert caller.raised is None


# What stays as it is.


@has_fix
def test_shutdown_waits_for_handlers_where_it_can():
    def handle(websocket):
        receive_until_closed(websocket)
        proceed.wait(5)
        ended.append(websocket)

    proceed, ended = threading.Event(), []
    with serving(handle) as (server, uri):
        client = open_connection(uri)
        caller = Caller(server.shutdown)
        caller.start()
        assert close_code(client) == 1001
        assert not has_ended(caller, 0.3)
        proceed.set()
        assert has_ended(caller)
        assert ended


@has_fix
def test_shutdown_leaves_connections_open_if_told_so():
    with serving(receive_until_closed) as (server, uri):
        client = open_connection(uri)
        client.send("before")
        assert client.recv(timeout=5) == "before"
        caller = Caller(lambda: server.shutdown(close_connections=False))
        caller.start()
        wait_until(lambda: server.socket_closed.is_set())
        client.send("after")
        assert client.recv(timeout=5) == "after"
        assert not has_ended(caller, 0.1)
        client.close()
        assert has_ended(caller)


@has_fix
def test_server_of_a_subclass_waits_too():
    """Its shutdown() is above websockets' own, but it isn't what shutdown() waits for."""
    from websockets.sync import server as module

    class Server(module.Server):
        def shutdown(self, *args, **kwargs):
            super().shutdown(*args, **kwargs)
            assert not self.handler_threads

    with serving(receive_until_closed) as (server, uri):
        server.__class__ = Server
        client = open_connection(uri)
        caller = Caller(server.shutdown)
        caller.start()
        assert close_code(client) == 1001
        assert has_ended(caller)
        assert caller.raised is None


@has_fix
def test_server_that_was_created_before_apply(without_shim):
    def handle(websocket):
        server.shutdown()
        returned.set()

    returned = threading.Event()
    with serving(handle) as (server, uri):
        websockets_closefix.apply()
        client = open_connection(uri)
        assert returned.wait(5)
        assert close_code(client) in (1000, 1001)


@pytest.mark.skipif(
    sys.platform == "win32", reason="serve_forever() raises, held until its socket is closed"
)
@has_fix
def test_client_that_comes_when_it_is_too_late_is_turned_away():
    """serve_forever() is held between accept() and the handler's thread for longer than we wait."""

    class Slow(set):
        def add(self, thread):
            accepted.set()
            proceed.wait(5)
            super().add(thread)

    accepted, proceed = threading.Event(), threading.Event()
    with serving(receive_until_closed) as (server, uri):
        server.handler_threads = Slow()
        server.lock = contextlib.nullcontext()
        caller = Caller(lambda: open_connection(uri))
        caller.start()
        assert accepted.wait(5)
        server.shutdown()
        proceed.set()
        assert has_ended(caller)
    assert caller.raised.response.status_code == 503
