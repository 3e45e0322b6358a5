"""Bad arguments are refused at once, in one clear sentence."""

from __future__ import annotations

import pytest
import websockets.exceptions

from websockets_closefix.resilience import ConnectionPool, keepalive, reconnect

URI = "ws://127.0.0.1:1"


@pytest.mark.parametrize("uri", ["http://127.0.0.1", "ws://", "127.0.0.1:80", "", None, 80])
@pytest.mark.parametrize("refuser", [reconnect, ConnectionPool])
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
        ({"max_size": 0}, "max_size must be a whole number of at least 1, not 0"),
        ({"max_size": 1.5}, "max_size must be a whole number of at least 1, not 1.5"),
        ({"timeout": 0}, "timeout must be a positive number of seconds, not 0"),
        ({"max_idle": -1}, "max_idle must be a positive number of seconds, not -1"),
        ({"max_lifetime": None}, "max_lifetime must be a positive number of seconds, not None"),
        ({"configure": "sign in"}, "configure must be callable, not 'sign in'"),
    ],
)
def test_pool(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        ConnectionPool(URI, **arguments)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"reconnect_delays": [1, 2]}, r"reconnect_delays must be callable, not \[1, 2\]"),
        ({"process_exception": OSError()}, r"process_exception must be callable, not OSError\(\)"),
        ({"reconnect_delays": None}, "reconnect_delays must be callable, not None"),
    ],
)
def test_reconnect(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        reconnect(URI, **arguments)


@pytest.mark.parametrize("refuser", [reconnect, ConnectionPool])
def test_socket(refuser):
    """It could be used only once."""
    name = refuser.__name__
    with pytest.raises(ValueError, match=f"sock belongs to a single connection: let {name} open"):
        refuser(URI, sock=object())


@pytest.mark.parametrize("argument", ["min_size", "maxsize", "max_wait", "ping_intervall"])
@pytest.mark.parametrize("refuser", [reconnect, ConnectionPool])
def test_unknown_argument(refuser, argument):
    """Not only when the first connection is opened, by the name of another function."""
    complaint = rf"{refuser.__name__}\(\) got an unexpected keyword argument '{argument}'"
    with pytest.raises(TypeError, match=complaint):
        refuser(URI, **{argument: 3})


@pytest.mark.parametrize("refuser", [reconnect, ConnectionPool])
def test_arguments_of_connect_and_of_create_connection(refuser):
    refuser(URI, compression=None, open_timeout=5, source_address=("127.0.0.1", 0))


def test_works_with_the_shim_off_and_is_not_imported_by_it(python):
    result = python(
        "import sys, websockets_closefix\n"
        "assert 'websockets_closefix.resilience' not in sys.modules\n"
        "from websockets_closefix.resilience import ConnectionPool, keepalive, reconnect\n"
        "print(websockets_closefix.status().state, 'wrapt' in sys.modules)",
        WEBSOCKETS_CLOSEFIX="0",
    )
    assert result.stdout.split() == ["disabled", "False"]


def test_its_modules_import_each_other_in_one_direction(python):
    """Each can be imported first."""
    python(
        "import importlib, pkgutil, sys\n"
        "import websockets_closefix.resilience as package\n"
        "for module in pkgutil.iter_modules(package.__path__):\n"
        "    for name in [name for name in sys.modules if name.startswith(package.__name__)]:\n"
        "        del sys.modules[name]\n"
        "    importlib.import_module(f'{package.__name__}.{module.name}')\n"
    )
