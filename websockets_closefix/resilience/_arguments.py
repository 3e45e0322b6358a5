"""Refuses bad arguments at once, in one sentence that names them."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Iterable
from typing import Any

import websockets.exceptions
from websockets.sync.client import connect
from websockets.uri import parse_uri
from websockets.version import version


class InvalidURI(websockets.exceptions.InvalidURI, ValueError):
    """Raised for a URI that isn't one; as websockets' own, and a :exc:`ValueError` as well."""


def check_uri(uri: str) -> str:
    """Return a URI; refuse what ``connect()`` would refuse only later, when it is called."""
    try:
        parse_uri(uri)
    except websockets.exceptions.InvalidURI as exc:
        raise InvalidURI(exc.uri, exc.msg) from exc
    except (AttributeError, TypeError, ValueError) as exc:
        raise InvalidURI(repr(uri), "isn't a WebSocket URI") from exc
    return uri


def check_connect_kwargs(caller: str, names: Iterable[str]) -> None:
    """Refuse what ``connect()`` would refuse only later, or would accept only once."""
    known = {"path", "ssl_context", "unix"}  # connect() takes these without naming them
    for function in (connect, socket.create_connection):
        known.update(inspect.signature(function).parameters)
    for name in names:
        if name == "sock":
            raise ValueError(f"sock belongs to a single connection: let {caller} open its own")
        if name not in known:
            raise TypeError(
                f"{caller}() got an unexpected keyword argument {name!r}, "
                f"which connect() of websockets {version} doesn't take either"
            )


def check_callable(name: str, value: Any) -> Any:
    """Return a function; refuse anything else."""
    if not callable(value):
        raise ValueError(f"{name} must be callable, not {value!r}")
    return value


def check_seconds(name: str, value: float, alternative: str = "") -> float:
    """Return a positive number of seconds; refuse anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"{name} must be a positive number of seconds{alternative}, not {value!r}")
    return value
