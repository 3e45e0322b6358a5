"""Refuses bad arguments at once, in one sentence that names them."""

from __future__ import annotations

from typing import Any

import websockets.exceptions
from websockets.uri import parse_uri


class InvalidURI(websockets.exceptions.InvalidURI, ValueError):
    """Raised for a URI that isn't one; as websockets' own, and a :exc:`ValueError` as well."""


def check_uri(uri: Any) -> None:
    """Refuse what ``connect()`` would refuse only later, when it is called."""
    try:
        parse_uri(uri)
    except websockets.exceptions.InvalidURI as exc:
        raise InvalidURI(exc.uri, exc.msg) from exc
    except (AttributeError, TypeError, ValueError) as exc:
        raise InvalidURI(repr(uri), "isn't a WebSocket URI") from exc


def check_seconds(name: str, value: Any, *, optional: bool = False) -> None:
    """Refuse what isn't a positive number of seconds, or :obj:`None` where that is allowed."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        alternative = " or None" if optional else ""
        raise ValueError(f"{name} must be a positive number of seconds{alternative}, not {value!r}")


def check_count(name: str, value: Any, *, at_least: int) -> None:
    """Refuse what isn't a whole number of at least ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}, not {value!r}")
