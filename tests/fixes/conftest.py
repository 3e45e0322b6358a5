"""What tests of several fixes share."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosedError

import websockets_closefix


@pytest.fixture
def impatient(monkeypatch):
    """Have the wrappers give the mutex up sooner than a held thread lets go of it."""
    from websockets_closefix._fixes.sync import _mutex

    monkeypatch.setattr(_mutex, "MUTEX_TIMEOUT", 0.05)


@pytest.fixture
def patient(monkeypatch):
    """Have the wrappers wait so long for the mutex that a test can't pass by giving it up."""
    from websockets_closefix._fixes.sync import _mutex

    monkeypatch.setattr(_mutex, "MUTEX_TIMEOUT", 300)


@pytest.fixture
def repairs():
    """Count the repairs since the test began."""
    before = websockets_closefix.status().repaired
    return lambda: websockets_closefix.status().repaired - before


def assert_network_error(exc, *causes):
    """Assert that a connection ended without a close frame either way, for one of the causes."""
    assert type(exc) is ConnectionClosedError
    assert (exc.rcvd, exc.sent) == (None, None)
    assert type(exc.__cause__) in causes
