"""The command line: what it prints, and its exit codes."""

from __future__ import annotations

import importlib
import json
import sys
from types import SimpleNamespace

import pytest

import websockets_closefix
from websockets_closefix import _cli
from websockets_closefix._cli import command_line, findings, status

from ..environments import run


@pytest.fixture
def found(monkeypatch):
    """Have new processes find that closing is safe, with a letter that isn't an ASCII one."""
    found = {**findings.find(is_switched_on=True), "state": "applied", "detail": "für alle"}
    monkeypatch.setattr(status, "ask", lambda environ: found)
    return found


@pytest.mark.parametrize("arguments", [[], ["status"]])
def test_status(capsys, found, arguments):
    assert command_line.main(arguments) == 0
    assert capsys.readouterr() == (status.as_text(found) + "\n", "")


def test_status_as_json(capsys, found):
    assert command_line.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("applied", 0),
        ("not-affected", 0),
        ("skipped", 0),
        ("not-switched-on", 1),
        ("unrecognised", 1),
        ("disabled", 1),
        ("not-importable", 1),
    ],
)
def test_exit_code_of_status(capsys, found, state, code):
    found["state"] = state
    assert command_line.main(["status"]) == code
    assert f"\n{state}: für alle\n" in capsys.readouterr().out


def test_what_is_refused_is_said_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(SystemExit) as stop:
        command_line.main(["status"])
    assert stop.value.code.startswith("websockets-closefix: there is no interpreter here")
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_standard_output_that_is_closed(environment):
    environment.enable()
    run(["sh", "-c", f"{environment.python} -m websockets_closefix status >&-"])


def test_a_standard_output_that_is_ascii(environment):
    environment.enable()
    result = environment.command("status", PYTHONIOENCODING="ascii", PYTHONPATH="/für")
    assert "PYTHONPATH=/f\\xfcr\n" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["status", "--trials", "3"], "status: error: unrecognized arguments: --trials 3"),
        (["enable", "here"], "enable: error: unrecognized arguments: here"),
        (["repair"], "'repair'"),
        (["--unknown"], "--unknown"),
    ],
)
def test_bad_arguments_get_exit_code_2(capsys, arguments, complaint):
    with pytest.raises(SystemExit) as stop:
        command_line.main(arguments)
    assert stop.value.code == 2
    assert complaint in capsys.readouterr().err.splitlines()[-1]


class FakeVerify:
    """In the place of what takes seconds; test_verify.py tries that."""

    def __init__(self, leaked=0, failure=None):
        self.report, self.failure = SimpleNamespace(leaked=leaked), failure
        self.as_json, self.as_text = vars, str

    def verify(self):
        if self.failure:
            raise self.failure
        return self.report


def verify(monkeypatch, fake, *options):
    monkeypatch.setattr(_cli, "verify", fake, raising=False)
    return command_line.main(["verify", *options])


def test_verify(capsys, monkeypatch):
    assert verify(monkeypatch, FakeVerify()) == 0
    assert capsys.readouterr().out == "namespace(leaked=0)\n"
    assert verify(monkeypatch, FakeVerify(leaked=2), "--json") == 1
    assert json.loads(capsys.readouterr().out) == {"leaked": 2}


def test_verify_without_websockets(monkeypatch):
    with pytest.raises(SystemExit) as stop:
        verify(monkeypatch, FakeVerify(failure=ImportError("No module named 'websockets'")))
    assert stop.value.code == (
        "websockets-closefix: websockets can't be imported: No module named 'websockets'"
    )


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        command_line.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == websockets_closefix.__version__


def test_importing_main_runs_nothing():
    """As multiprocessing does in the processes it spawns."""
    assert importlib.import_module("websockets_closefix.__main__").main is command_line.main
