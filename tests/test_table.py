"""Each bug has all that belongs to it: what is missing is named."""

from __future__ import annotations

import socket

import pytest

import websockets_closefix._repro as _repro
from websockets_closefix import _state
from websockets_closefix._fixes import every_fix

from .conftest import ROOT

PACKAGE = ROOT / "websockets_closefix"
IMPLEMENTATIONS = [package.partition(".")[2] for package in _state.PACKAGES]
FILES = [
    (implementation, path.stem)
    for implementation in IMPLEMENTATIONS
    for path in sorted((PACKAGE / "_fixes" / implementation).glob("[a-z]*.py"))
]

NOT_HERE = () if hasattr(socket, "TCP_USER_TIMEOUT") else ("sync.blocked_keepalive",)


@pytest.mark.parametrize(("implementation", "name"), FILES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # websockets.legacy is deprecated
def test_nothing_is_missing_of(implementation, name):
    bug = f"{implementation}.{name}"
    there = {
        "a line in the table of _fixes/__init__.py": bug in {fix.name for fix in every_fix()},
        f"_repro/{implementation}/{name}.py": (
            PACKAGE / "_repro" / implementation / f"{name}.py"
        ).exists(),
        "its scenarios in the table of _repro/__init__.py": (
            bug in scenarios(implementation) or bug in NOT_HERE
        ),
        f"tests/fixes/{implementation}/test_{name}.py": (
            ROOT / "tests" / "fixes" / implementation / f"test_{name}.py"
        ).exists(),
        "its name in CHANGELOG.md": f"`{bug}`" in text("CHANGELOG.md"),
        "a row in docs/bugs.md": f"| `{bug}`" in text("docs", "bugs.md"),
    }
    assert [each for each, is_there in there.items() if not is_there] == []


def scenarios(implementation):
    """Return the bugs that are reproduced; an older websockets hasn't all implementations."""
    pytest.importorskip(f"websockets.{implementation}")
    return {scenario.bug for scenario in _repro.scenarios_of(f"websockets.{implementation}")}


def text(*path):
    return ROOT.joinpath(*path).read_text(encoding="utf-8")
