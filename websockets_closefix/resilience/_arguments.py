"""Refuses bad arguments at once, in one sentence that names them."""

from __future__ import annotations

import websockets.exceptions
from websockets.uri import parse_uri


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


def check_seconds(name: str, value: float, alternative: str = "") -> float:
    """Return a positive number of seconds; refuse anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"{name} must be a positive number of seconds{alternative}, not {value!r}")
    return value


def check_seconds_or_none(name: str, value: float | None) -> float | None:
    """Return a positive number of seconds, or :obj:`None`; refuse anything else."""
    return None if value is None else check_seconds(name, value, " or None")


def check_count(name: str, value: int, *, at_least: int) -> int:
    """Return a whole number of at least ``at_least``; refuse anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"{name} must be a whole number of at least {at_least}, not {value!r}")
    return value
