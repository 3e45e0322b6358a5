"""Bad arguments are refused at once, in one clear sentence."""

from __future__ import annotations

import pytest
import websockets.exceptions
import websockets.sync.client

from websockets_closefix.resilience import ConnectionPool, keepalive, reconnect
from websockets_closefix.resilience._reconnect import Reconnect

URI = "ws://127.0.0.1:1"


@pytest.mark.parametrize("uri", ["http://127.0.0.1", "ws://", "127.0.0.1:80", "", None, 80])
@pytest.mark.parametrize("refuser", [Reconnect, ConnectionPool])
def test_uri(refuser, uri):
    with pytest.raises(ValueError, match="isn't a valid URI") as refused:
        refuser(uri)
    assert isinstance(refused.value, websockets.exceptions.InvalidURI)


@pytest.mark.parametrize("value", [0, -1, "20", True, float("nan"), None])
def test_ping_interval(value):
    with pytest.raises(ValueError, match="ping_interval must be a positive number of seconds, not"):
        keepalive(None, ping_interval=value)


@pytest.mark.parametrize("value", [0, -1, "20"])
def test_ping_timeout(value):
    with pytest.raises(ValueError, match="ping_timeout must be a positive number of seconds or"):
        keepalive(None, ping_timeout=value)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"sock": object()}, "sock is a single connection's: let the pool open its own"),
        ({"max_size": 0}, "max_size must be a whole number of at least 1, not 0"),
        ({"max_size": 1.5}, "max_size must be a whole number of at least 1, not 1.5"),
        ({"timeout": 0}, "timeout must be a positive number of seconds, not 0"),
        ({"max_idle": -1}, "max_idle must be a positive number of seconds, not -1"),
        ({"max_lifetime": None}, "max_lifetime must be a positive number of seconds, not None"),
    ],
)
def test_pool(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        ConnectionPool(URI, **arguments)


def test_reconnect_is_websockets_own_where_it_has_one():
    own = getattr(websockets.sync.client, "reconnect", None)
    assert reconnect is (Reconnect if own is None else own)


def test_works_with_the_shim_off_and_is_not_imported_by_it(python):
    result = python(
        "import sys, websockets_closefix\n"
        "assert 'websockets_closefix.resilience' not in sys.modules\n"
        "from websockets_closefix.resilience import ConnectionPool, keepalive, reconnect\n"
        "print(websockets_closefix.status().state, 'wrapt' in sys.modules)",
        WEBSOCKETS_CLOSEFIX="0",
    )
    assert result.stdout.split() == ["disabled", "False"]
