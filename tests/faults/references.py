"""
What each cell is compared with: the reference of its bug.

That is a release that ends like that, or, where there is none, what websockets' documentation says.

"""

from __future__ import annotations

import re

ORDERLY = {
    "closing": {"NoneType"},
    "recv() afterwards": {"ConnectionClosedOK received 1000 sent 1000"},
    "internal errors": {""},
}
ABORTED = {
    "closing": {"NoneType"},
    "send() meanwhile": {"ConnectionClosedError"},
    "sending a lot": {"ConnectionClosedError"},
    "recv() afterwards": {"ConnectionClosedError"},
    "internal errors": {""},
}

DOCUMENTED = {
    r"close frame answered \| .*": ORDERLY,
    r"peer stops reading \| .*": ABORTED,
    r".* \| shutting down \| -": {"shutting down": {"NoneType"}},
}
"""Of cells, by a regular expression: what may be seen, aspect by aspect; a type or all of it."""

NEVER_CURED = r"(close frame, TCP|message too big|half a TLS|TLS, then silence).*"
"""Cells whose bug upstream hasn't cured since it was made, so that there is only a reference."""

REFERENCE = "17.2"
"""The last release that ends all other cells as it ought to, though some need upstream's cures."""


def documented(cell):
    """Return what the documentation says of a cell; None if a release is its reference."""
    for cells, outcome in DOCUMENTED.items():
        if re.fullmatch(cells, cell):
            return outcome
    return None


def is_cured_upstream(cell):
    """Tell whether a release with upstream's cures ends like that."""
    return documented(cell) is None and not re.fullmatch(NEVER_CURED, cell)


def seconds_allowed(cell, close_timeout):
    """Return how long an end may take, apart from what a busy machine adds."""
    if "keepalive is short" in cell:
        return 2.0  # the interval and the timeout of keepalive, as Linux keeps to them
    if cell.startswith("close frame answered"):
        return 1.5  # the peer answers at once, but up to 13.1 a message stays for a second
    return close_timeout
