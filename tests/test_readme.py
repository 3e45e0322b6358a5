"""Every snippet of README.md works. Commands that install something: tests/package."""

from __future__ import annotations

import re

import pytest

import websockets_closefix
from websockets_closefix._commands import status as _report

from .conftest import ROOT, affected, predates_resilience
from .environments import CURED, VENDOR
from .peers import server

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def blocks(language):
    return [text for each, text in BLOCKS if each == language]


def program_with(name):
    [program] = [program for program in blocks("python") if f"import {name}\n" in program]
    return program


@pytest.fixture
def uri():
    def echo(websocket):
        for message in websocket:
            websocket.send(message)

    with server(echo) as uri:
        yield uri


def test_every_block_is_tested_somewhere():
    """Languages with the number of their blocks: one more needs a test more."""
    count = {language: len(blocks(language)) for language, _ in BLOCKS}
    assert count == {
        "": 2,  # the traceback, and the requirements
        "python": 4,  # the cure, and three programs after it
        "sh": 5,  # tests/package, but for the last, which is what runs the tests
        "dockerfile": 1,
        "console": 1,
        "mermaid": 1,  # the race, which test_close_socket.py provokes
    }


@affected
def test_the_traceback(environment, tmp_path):
    """A program dies like that without the shim."""
    program = tmp_path / "program.py"
    source = VENDOR.read_text().replace(
        "        print(*(type(exc).__name__ for exc in outcome))", "        raise outcome.caller"
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


@pytest.mark.skipif(predates_resilience(), reason="resilience needs websockets 13.1 or later")
@pytest.mark.parametrize("name", ["reconnect", "keepalive", "ConnectionPool"])
def test_after_the_cure(python, uri, name):
    result = python(program_with(name), WEBSOCKET_URI=uri)
    assert result.stdout.splitlines()[0] == "hello"


@affected
def test_in_a_container(environment):
    """What the image's build runs, after the installation, and then a third-party program."""
    [dockerfile] = blocks("dockerfile")
    install, switch_on = re.findall(r"^RUN (.*)$", dockerfile, re.MULTILINE)
    assert install.startswith("python -m pip install")
    for command in switch_on.split(" && "):
        python, *arguments = command.split()
        assert python == "python"
        environment.run(*arguments)
    assert environment.meets_the_race() == CURED


def test_a_build_fails_where_the_cure_does_not_hold(environment):
    environment.command("enable")
    environment.command("status", code=1, WEBSOCKETS_CLOSEFIX="off")


def test_the_page_of_status(environment):
    """The README's page is what these findings look like."""
    [console] = blocks("console")
    command, _, page = console.partition("\n")
    assert command == "$ python -m websockets_closefix status"
    found = {
        "state": "applied",
        "detail": "websockets 14.1 has the close race: upgrade to 14.2 or later when you can; "
        "until then close_socket is repaired",
        "websockets_version": "14.1",
        "websockets_location": "/usr/lib/python3/site-packages/websockets",
        "affected": True,
        "version": "1.0.0",
        "switched_on_by": "pth",
        "wrapt_version": "2.5.2",
        "held_back_by": [
            {"name": "vendor-sdk", "version": "1.2", "requirement": "websockets<14.2,>=13"}
        ],
    }
    assert f"{_report.as_text(found)}\n" == page


def test_the_release_that_it_and_the_changelog_speak_of():
    version = websockets_closefix.__version__
    assert blocks("")[1] == f"websockets==14.1\nwebsockets-closefix=={version}\n"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
