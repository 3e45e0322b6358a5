"""The cells of the matrix: a fault, what the connection is used for, and what goes on meanwhile."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from websockets.sync.client import connect

from .activities import ACTIVITIES, MEANWHILE
from .handshakes import HANDSHAKES
from .links import LINKS
from .shutdowns import SHUTDOWNS
from .strikes import FAULTS


class Cell(NamedTuple):
    """One way to end a connection."""

    fault: str
    side: str
    activity: str
    meanwhile: str = "-"

    def __str__(self) -> str:
        return " | ".join(self)

    @property
    def options(self) -> dict:
        """Return arguments of ``connect()`` and ``serve()``."""
        return {**FAULTS[self.fault].options, **MEANWHILE[self.meanwhile].options}


# These end whatever the connection is used for.
ENDS = [
    "RST",
    "FIN without a close frame",
    "close frame never answered",
    "peer killed with SIGKILL",
    "peer stops reading, then RST",
    "TLS without close_notify",
    "close frame, then FIN",
]
EVERYTHING = [(fault, list(ACTIVITIES), "-") for fault in ENDS]
COMMON = ["RST", "FIN without a close frame", "close frame never answered"]
COMPANY = [
    *((fault, ["idle", "sending", "closing"], "a receiver waits") for fault in COMMON),
    *((fault, ["idle", "sending", "closing"], "a ping is pending") for fault in COMMON),
    *((fault, ["idle", "sending", "closing"], "keepalive is on") for fault in COMMON),
    # Whoever sends doesn't learn of a FIN before somebody reads.
    ("FIN without a close frame", ["nothing", "closing"], "messages are unread"),
    ("RST", ["nothing", "sending", "closing"], "messages are unread"),
    ("close frame never answered", ["nothing", "sending", "closing"], "messages are unread"),
    *((fault, ["sending", "closing"], "another thread closes") for fault in COMMON),
    ("RST", ["closing"], "messages are unread, a ping is pending"),
    ("keepalive never answered", ["idle", "receiving"], "-"),
    ("invalid UTF-8", ["receiving"], "-"),
    ("ping, close frame, then FIN", ["closing"], "-"),
    ("messages nobody reads", ["closing"], "-"),
    ("messages nobody reads", ["closing"], "another thread closes"),
]
# What no release of a certain age ends, or none at all: references.py.
BOUNDED = [
    ("half a TLS record", ["closing"], "-"),
    ("half a TLS record", ["closing"], "a receiver waits"),
    ("half a TLS record", ["receiving"], "another thread closes"),
    ("close frame, TCP stays open", ["idle", "receiving", "sending", "closing"], "-"),
    ("close frame, TCP stays open", ["idle"], "a receiver waits"),
    ("message too big, TCP stays open", ["idle", "receiving", "sending"], "-"),
    ("close frame answered", ["closing"], "-"),
    ("close frame answered", ["closing"], "messages are unread"),
    ("peer stops reading", ["closing"], "a sender is blocked"),
    ("peer stops reading", ["sending a lot"], "keepalive is short"),
]


def cells() -> Iterator[Cell]:
    """Yield the cells that this release can be put through; keepalive came in 15.0."""
    keepalive = "ping_interval" in inspect.signature(connect).parameters
    for (fault, activities, meanwhile), side in itertools.product(
        EVERYTHING + COMPANY + BOUNDED, LINKS
    ):
        for activity in activities:
            cell = Cell(fault, side, activity, meanwhile)
            if keepalive or "ping_interval" not in cell.options:
                yield cell
    for fault, side in HANDSHAKES:
        yield Cell(fault, side, "connecting")
    for situation in SHUTDOWNS:
        yield Cell(situation, "server", "shutting down")
