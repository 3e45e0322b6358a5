"""
What ends otherwise on a release than on the reference, 17.2, and stays as it is.

Upstream changed it on purpose, and none of it is a flaw in how connections end. Whatever else is
different makes the fault matrix fail. ``docs/evidence.md`` lists the reasons.

"""

from __future__ import annotations

import re
from typing import NamedTuple

from websockets_closefix._detect import release


class Difference(NamedTuple):
    """One way in which the releases of a span differ from the reference."""

    since: str
    before: str
    cells: str
    """Regular expression that matches the whole name of each cell."""

    aspects: str
    """Regular expression that matches the whole name of each aspect."""

    outcomes: set
    """What may be seen there; anything else is wrong."""

    reference: set
    """What the reference ends in."""

    why: str


KNOWN = (
    Difference(
        "17.4",
        "17.5",
        r"(FIN|peer killed|TLS without).* \| (idle|receiving) \| .*",
        r"cause of (receiving|recv\(\) .*)",
        {"EOFError"},
        {"NoneType"},
        "An end of the stream without a close frame has no cause before 17.4, "
        "which names `EOFError`.",
    ),
    Difference(
        "11.0",
        "13.1",
        r"(no HTTP at all|RST .*) \| .* \| connecting \| -",
        r"connecting",
        {"ConnectionError"},
        {"InvalidMessage"},
        "A failed opening handshake is a `ConnectionError` before 13.1.",
    ),
    Difference(
        "13.1",
        "14.2",
        r"(no HTTP at all|RST .*) \| client \| connecting \| -",
        r"connecting",
        {"InvalidHandshake"},
        {"InvalidMessage"},
        "A failed opening handshake is an `InvalidHandshake` from 13.1 to 14.1, where "
        "`InvalidMessage` is in `websockets.legacy`.",
    ),
    Difference(
        "13.1",
        "14.2",
        r"(no HTTP at all|RST .*) \| server \| connecting \| -",
        r"connecting",
        {"EOFError", "ValueError"},
        {"InvalidMessage"},
        "A server notes the parser's `EOFError` or `ValueError` from 13.1 to 14.1, where 14.2 "
        "notes `InvalidMessage`.",
    ),
    Difference(
        "11.0",
        "14.2",
        r"(no HTTP at all|RST .*) \| .* \| connecting \| -",
        r"cause of connecting",
        {"NoneType", "EOFError"},
        {"EOFError", "ValueError"},
        "Before 13.1, and on a server before 14.2, a failed opening handshake doesn't name what "
        "the parser met as its cause.",
    ),
    Difference(
        "11.0",
        "14.0",
        r"(403|500) \| server \| connecting \| -",
        r"connecting",
        {"InvalidStatus"},
        {"NoneType"},
        "A server notes `InvalidStatus` where `process_request` turned a client away, before 14.0.",
    ),
    Difference(
        "11.0",
        "14.0",
        r"invalid UTF-8 \| .*",
        r"receiving|recv\(\) afterwards",
        {"ConnectionClosedError received None sent None"},
        {"ConnectionClosedError received None sent 1007"},
        "Before 14.0 invalid UTF-8 ends a connection without a close frame, where 1007 is due.",
    ),
    Difference(
        "11.0",
        "14.0",
        r"invalid UTF-8 \| .*",
        r"internal errors",
        {"unexpected internal error: UnicodeDecodeError"},
        {""},
        "Before 14.0 invalid UTF-8 is logged as an unexpected internal error.",
    ),
    Difference(
        "11.0",
        "14.0",
        r"invalid UTF-8 \| .*",
        r"cause of (receiving|recv\(\) afterwards)",
        {"UnicodeDecodeError"},
        {"TimeoutError"},
        "Before 14.0 the cause of an end for invalid UTF-8 is the `UnicodeDecodeError`.",
    ),
    Difference(
        "17.4",
        "17.5",
        r"invalid UTF-8 \| .*",
        r"cause of (receiving|recv\(\) afterwards)",
        {"UnicodeDecodeError"},
        {"TimeoutError"},
        "From 14.0 to 17.3 the cause of an end with 1007 is the peer's silence; 17.4 names the "
        "`UnicodeDecodeError`.",
    ),
    Difference(
        "11.0",
        "13.0",
        r"ping, close frame, then FIN \| .* \| closing \| -",
        r"recv\(\) afterwards",
        {"ConnectionClosedError received None sent 1000"},
        {"ConnectionClosedOK received 1000 sent 1000"},
        "Before 13.0 a ping that crosses our close frame fails the connection.",
    ),
)


def applies(known, version, cell, aspect, outcomes, reference):
    """Tell whether a difference that was seen is this one."""
    return (
        release(known.since) <= release(version) < release(known.before)
        and re.fullmatch(known.cells, cell) is not None
        and re.fullmatch(known.aspects, aspect) is not None
        and outcomes <= known.outcomes
        and reference <= known.reference
    )
