"""docs/bugs.md lists every bug that is fixed, as the file of its fix has it."""

from __future__ import annotations

import re

from websockets_closefix._fixes import every_fix

from .conftest import ROOT

PAGE = (ROOT / "docs" / "bugs.md").read_text(encoding="utf-8")
ISSUE = "[{0}](https://github.com/python-websockets/websockets/issues/{0})".format

RELEASES = (
    *("11.0", "11.0.1", "11.0.2", "11.0.3", "12.0", "13.0", "13.0.1", "13.1", "14.0", "14.1"),
    *("14.2", "15.0", "15.0.1", "16.0", "16.1", "16.1.1", "17.0", "17.0.1", "17.1", "17.2"),
    *("17.3", "17.4"),
)


def releases_of(fix):
    """Return the first and the last release that have a bug, as the page names them."""
    affected = [release for release in RELEASES if fix.is_in(tuple(map(int, release.split("."))))]
    first, last = affected[0], affected[-1]
    if fix.fixed is None:
        return f"{first} and later"
    return first if first == last else f"{first} to {last}"


def test_every_bug_has_its_row():
    """Which says what is missing where there is none."""
    rows = [row for row in PAGE.splitlines() if row.startswith("| `")]
    cells = {tuple(cell.strip() for cell in row.split("|")[1:4]) for row in rows}
    expected = {
        (
            f"`{fix.name}`" + (f" ({ISSUE(fix.issue)})" if fix.issue else ""),
            releases_of(fix),
            fix.symptom,
        )
        for fix in every_fix()
    }
    assert cells == expected


def test_the_rows_stand_in_the_order_of_the_table():
    names = re.findall(r"^\| `([\w.]+)`", PAGE, re.MULTILINE)
    assert names == [fix.name for fix in every_fix()]
