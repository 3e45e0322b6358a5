"""Every snippet of README.md works. Commands that install something: tests/package."""

from __future__ import annotations

import re

import pytest

import websockets_closefix
from websockets_closefix._detect import NEWEST_KNOWN
from websockets_closefix._fixes import fixes_of
from websockets_closefix._state import PACKAGES

from .conftest import ROOT, affected
from .environments import VENDOR

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]


def blocks_of(page):
    """Return the language and the text of each block of code on a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def blocks(language, page=README):
    return [text for each, text in blocks_of(page) if each == language]


def test_every_block_is_tested_somewhere():
    """Languages with the number of their blocks: one more needs a test more."""
    count = {language: len(blocks(language)) for language, _ in blocks_of(README)}
    assert count == {
        "": 2,  # the traceback, and the requirements
        "python": 1,  # the cure
        "sh": 5,  # tests/package, but for the last, which is what runs the tests
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages(page):
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https:)([^)#]*)#?([^)]*)\)", text):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
        slugs = [re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings]
        assert not anchor or anchor in slugs


def test_the_table_names_each_implementation_with_its_releases():
    for package in PACKAGES:
        fixes = fixes_of(package)
        if fixes:
            first = ".".join(map(str, min(fix.since for fix in fixes)))
            newest = ".".join(map(str, NEWEST_KNOWN))
            assert f"| `{package}` | {first} to {newest} |" in README


def test_it_can_be_read_in_three_minutes():
    assert len(README.split()) <= 600


@affected
def test_the_traceback(environment, tmp_path):
    """A program dies like that without the shim."""
    program = tmp_path / "program.py"
    source = VENDOR.read_text().replace(
        'print(*(type(exc).__name__ for exc in meet_the_race("client")))',
        'raise meet_the_race("client").caller',
    )
    program.write_text(source.replace("Path(__file__)", f"Path({str(VENDOR)!r})"))
    stderr = environment.run(program, code=1).stderr.splitlines()
    [traceback, _] = blocks("")
    shape = re.compile(r'File "[^"]*/websockets/', re.MULTILINE)
    expected = [line for line in traceback.splitlines() if "^" not in line]
    seen = [line for line in stderr if "^" not in line][-len(expected) :]
    without_numbers = [
        [re.sub(r"line \d+", "line", shape.sub('File ".../websockets/', line)) for line in lines]
        for lines in (expected, seen)
    ]
    assert without_numbers[0] == without_numbers[1]


def test_the_cure_is_the_first_program(python):
    assert blocks("python")[0] == "import websockets_closefix\n"
    python(blocks("python")[0])


def test_the_release_that_it_and_the_changelog_speak_of():
    version = websockets_closefix.__version__
    assert blocks("")[1] == f"websockets==14.1\nwebsockets-closefix=={version}\n"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
