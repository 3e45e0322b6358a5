"""Runs each test of ``websockets.asyncio`` on the standard event loop and on uvloop."""

from __future__ import annotations

import importlib.util

import pytest

from websockets_closefix._repro.asyncio import _running

LOOPS = ["asyncio"]
if importlib.util.find_spec("uvloop"):
    import uvloop

    LOOPS.append("uvloop")
    uvloop.new_event_loop().close()  # the first one opens descriptors that stay open

collect_ignore_glob = [] if importlib.util.find_spec("websockets.asyncio") else ["test_*.py"]


@pytest.fixture(params=LOOPS, autouse=True)
def new_event_loop(request, monkeypatch):
    """Choose what creates the event loops of reproductions and tests."""
    if request.param == "uvloop":
        monkeypatch.setattr(_running, "new_event_loop", uvloop.new_event_loop)
    return request.param
