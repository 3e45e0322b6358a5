"""What the tests of the application layer share."""

from __future__ import annotations

import contextlib

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
