"""The programs of the README, run as they are printed there."""

from __future__ import annotations

import re

import pytest

from .conftest import ROOT, predates_resilience
from .peers import server

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def program_with(name):
    [program] = [program for program in PROGRAMS if f"import {name}\n" in program]
    return program


@pytest.fixture
def uri():
    def echo(websocket):
        for message in websocket:
            websocket.send(message)

    with server(echo) as uri:
        yield uri


def test_the_cure_is_the_first_program(python):
    assert PROGRAMS[0] == "import websockets_closefix\n"
    python(PROGRAMS[0])


@pytest.mark.skipif(predates_resilience(), reason="resilience needs websockets 13.1 or later")
@pytest.mark.parametrize("name", ["reconnect", "keepalive", "ConnectionPool"])
def test_after_the_cure(python, uri, name):
    result = python(program_with(name), WEBSOCKET_URI=uri)
    assert result.stdout.splitlines()[0] == "hello"
