"""What the tests of the application layer share."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from types import SimpleNamespace

import pytest
from websockets.sync.server import ServerConnection

from .peers import serving

try:
    from websockets_closefix.resilience import _pool, _reconnect, _slot
except ImportError:  # websockets is too old for it
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def echo_uri():
    with serving() as uri:
        yield uri


@pytest.fixture
def server_side():
    """Yield a URI, and the connections that are open on the server's side."""

    def echo(websocket):
        connections.add(websocket)
        try:
            for message in websocket:
                websocket.send(message)
        finally:
            connections.discard(websocket)

    def create(sock, *args, **kwargs):
        sockets.append(sock)
        return ServerConnection(sock, *args, **kwargs)

    connections, sockets = set(), []
    with serving(echo, create_connection=create, open_timeout=2) as uri:
        yield uri, connections
        # An interrupted connect() may close its socket, or leave it to the garbage collector,
        # without shutting it down: its reader thread waits for the server, and the server for the
        # request. That is websockets' own.
        # Their reader threads close them: from 17.0 on, select() doesn't notice that others do.
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class Clock(SimpleNamespace):
    """The module ``time``, some time later."""

    def __init__(self):
        super().__init__(**vars(time))
        self.ahead = 0.0
        self.monotonic = lambda: time.monotonic() + self.ahead

    def advance(self, seconds):
        self.ahead += seconds


@pytest.fixture
def clock(monkeypatch):
    """Make connections grow old without waiting."""
    clock = Clock()
    for module in (_pool, _slot, _reconnect):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def set_constants(monkeypatch):
    """Set constants of the application layer, most of them seconds, in all its modules."""

    def set_all(**constants):
        for name, value in constants.items():
            modules = [module for key, module in sys.modules.items() if ".resilience._" in key]
            owners = [module for module in modules if hasattr(module, name)]
            assert owners, name
            for module in owners:
                monkeypatch.setattr(module, name, value)

    return set_all


@pytest.fixture
def ping_always(set_constants):
    """Ask every connection for a pong before it's lent."""
    set_constants(PING_AFTER=0)


@pytest.fixture(autouse=True)
def _patient(set_constants):
    """Have a pool wait longer for a closing handshake than a busy machine needs."""
    set_constants(CLOSE_TIMEOUT=10)


@pytest.fixture
def impatient(set_constants):
    set_constants(PING_AFTER=0, PING_TIMEOUT=0.2, CLOSE_TIMEOUT=0.1)
