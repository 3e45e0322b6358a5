"""What stays different from the newest release is told to readers, in one place."""

from __future__ import annotations

import pytest

from ..conftest import ROOT
from .known import KNOWN, applies

EVIDENCE = ROOT / "docs" / "evidence.md"


@pytest.mark.skipif(not EVIDENCE.exists(), reason="the sdist has no docs")
@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known.aspects}, {known.cells}")
def test_every_known_difference_is_told(known):
    assert f"- {known.why}\n" in unwrapped(EVIDENCE.read_text())


@pytest.mark.skipif(not EVIDENCE.exists(), reason="the sdist has no docs")
def test_no_other_difference_is_told():
    section = unwrapped(EVIDENCE.read_text()).partition("## What the matrix knows\n")[2]
    told = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("- ")]
    assert sorted(told) == sorted(f"- {known.why}" for known in KNOWN)


def test_a_difference_applies_to_its_releases_and_to_nothing_else():
    cell = "RST for an answer | client | connecting | -"
    seen = "connecting", {"ConnectionError"}, {"InvalidMessage"}
    known = KNOWN[1]

    assert applies(known, "13.0.1", cell, *seen)
    assert not applies(known, "13.1", cell, *seen)
    assert not applies(known, "13.0.1", cell, seen[0], {"AssertionError"}, seen[2])
    assert not applies(known, "13.0.1", cell, "cause of connecting", *seen[1:])


def unwrapped(text):
    """Join the lines of each paragraph and of each item."""
    return text.replace("\n  ", " ")
