"""A program ends while a connection is open, but not while anything of its own is running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest
from websockets.client import ClientProtocol
from websockets.sync.client import ClientConnection
from websockets.uri import parse_uri

from websockets_closefix._repro.peers import peer, stay_silent
from websockets_closefix._repro.sync.ends import server

from ...conftest import ROOT, has_bug

has_the_bug = has_bug("sync.program_exit")

NOBODY_CLOSES = """
import sys, threading
import websockets_closefix
from websockets.sync.client import connect
websocket = connect(sys.argv[1])
def receive():
    for message in websocket:
        pass
threading.Thread(target=receive, daemon=True).start()
print("the last line", flush=True)
"""

STILL_IN_USE = """
import sys, threading
import websockets_closefix
from websockets.sync.client import connect
websocket = connect(sys.argv[1])
def use():
    threading.main_thread().join()
    websocket.send("hello")
    print(websocket.recv(timeout=5), flush=True)
    websocket.close()
    print(websocket.protocol.close_code, flush=True)
threading.Thread(target=use).start()
"""


def ends(program, uri, timeout=30, **environ):
    """Run a program, and return what it said, and whether it came to its end in time."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, uri],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
    )
    with process:
        try:
            process.wait(timeout)
            return process.stdout.read(), process.returncode == 0
        except subprocess.TimeoutExpired:
            process.kill()
            return process.stdout.read(), False


@has_the_bug
def test_hangs_without_the_shim():
    with peer(stay_silent) as uri:
        assert ends(NOBODY_CLOSES, uri, 3, WEBSOCKETS_CLOSEFIX="0") == ("the last line\n", False)


@has_the_bug
def test_program_ends():
    with peer(stay_silent) as uri:
        assert ends(NOBODY_CLOSES, uri) == ("the last line\n", True)


def test_thread_that_uses_a_connection_goes_on_when_the_main_thread_has_ended():
    def echo(websocket):
        for message in websocket:
            websocket.send(message)

    with server(echo) as uri:
        assert ends(STILL_IN_USE, uri) == ("hello\n1000\n", True)


@pytest.mark.parametrize("daemon", [False, True])
def test_the_thread_that_connects_stays_what_it_was(daemon):
    def connect():
        one, other = socket.socketpair()
        with one, other:
            connection = ClientConnection(one, ClientProtocol(parse_uri("ws://127.0.0.1")))
            seen.append(connection.recv_events_thread.daemon)
            connection.close_socket()
            connection.recv_events_thread.join(5)
        seen.append(threading.current_thread().daemon)
        seen.append(threading.Thread(target=connect).daemon)

    seen = []
    thread = threading.Thread(target=connect, daemon=daemon)
    thread.start()
    thread.join(5)
    assert seen == [True, daemon, daemon]


@has_the_bug
def test_thread_stays_what_it_was_where_init_fails():
    with pytest.raises(AttributeError):
        ClientConnection(None, None)
    assert not threading.current_thread().daemon
