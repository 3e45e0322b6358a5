"""What the tests of the application layer share."""

from __future__ import annotations

import contextlib
import gc

import pytest
from websockets_closefix._provoke import tapped_logger

from ..conftest import predates_resilience
from ..peers import server

if predates_resilience():
    collect_ignore_glob = ["test_*.py"]


def echo(websocket):
    for message in websocket:
        websocket.send(message)


@contextlib.contextmanager
def serving(handler=echo, **kwargs):
    """Run a server that logs nothing, because its clients are going to misbehave."""
    logger = tapped_logger(lambda record: False)
    with server(handler, logger=logger, **kwargs) as uri:
        yield uri


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

    connections = set()
    with serving(echo) as uri:
        yield uri, connections
        # Interrupted before the pool has heard of it, connect() leaves a socket to the garbage
        # collector, and the server waits for its handshake.
        gc.collect()
