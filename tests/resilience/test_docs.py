"""Every example of docs/resilience.md works."""

from __future__ import annotations

import re

import pytest
from websockets_closefix.resilience._state import wait_until

from ..conftest import ROOT
from .peers import serving

PAGE = (ROOT / "docs" / "resilience.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = [text for language, text in BLOCKS if language == "python"]


def test_every_block_is_tested_here():
    assert [language for language, _ in BLOCKS] == ["sh", "python", "python", "python"]


def test_variable_is_introduced_before_it_is_used():
    [introduction] = [text for language, text in BLOCKS if language == "sh"]
    assert re.fullmatch(r"export WEBSOCKET_URI=ws://127\.0\.0\.1:\d+\n", introduction)
    assert all('os.environ["WEBSOCKET_URI"]' in program for program in PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS, ids=["reconnect", "keepalive", "ConnectionPool"])
def test_program(python, program):
    """It prints the answer, and says a proper goodbye."""

    def echo(websocket):
        for message in websocket:
            websocket.send(message)
        codes.append(websocket.protocol.close_rcvd.code)

    codes = []
    with serving(echo) as uri:
        result = python(program, WEBSOCKET_URI=uri)
        wait_until(lambda: codes, 5)
    assert result.stdout.splitlines()[0] == "hello"
    assert codes == [1000]


def test_what_an_example_needs_besides_is_installed_as_it_says():
    imported = set(re.findall(r"^(?:import|from) (\w+)", "\n".join(PROGRAMS), re.MULTILINE))
    others = imported - {"os", "websockets", "websockets_closefix"}
    assert others == set(re.findall(r"`python -m pip install (\w+)`", PAGE))
