"""The command line: what it prints, and its exit codes."""

from __future__ import annotations

import importlib
import json
import re
import sys

import pytest

import websockets_closefix
from websockets_closefix import _provoke
from websockets_closefix._commands import command_line

from ..builds import FIXED, FLAWED, write_build
from ..conftest import ROOT, affected, installed_release

README = (ROOT / "README.md").read_text(encoding="utf-8")
VERSION = installed_release()
RUN = (
    "import runpy, sys; sys.argv = ['websockets-closefix', {}]\n"
    "runpy.run_module('websockets_closefix', run_name='__main__')"
)


@pytest.fixture
def command(python):
    def run(*arguments, **kwargs):
        quoted = ", ".join(map(repr, arguments))
        return python(RUN.format(quoted), "-Walways", **kwargs)

    return run


@pytest.mark.parametrize("arguments", [[], ["status"]])
def test_status(command, arguments):
    result = command(*arguments)
    state, _, detail = result.stdout.partition(": ")
    assert state in ("applied", "not-affected")
    assert detail.startswith(f"websockets {VERSION} ")
    assert result.stderr == ""


def test_status_as_json(command):
    status = json.loads(command("status", "--json").stdout)
    assert status["state"] in ("applied", "not-affected")
    assert status["websockets_version"] == VERSION
    assert status["repaired"] == 0
    documented = re.findall(r"^\| `(\w+)` \| .* \| .* \|$", README, re.MULTILINE)
    assert list(status) == documented


def test_status_of_an_unrecognised_build(command, tmp_path):
    path = f"{write_build(tmp_path / 'build', '14.2', FLAWED)}:{ROOT}"
    result = command("status", code=1, PYTHONPATH=path)
    assert result.stdout.startswith("unrecognised: websockets calls itself 14.2, but")
    assert result.stderr == ""


def test_status_of_an_unaffected_build(command, tmp_path):
    path = f"{write_build(tmp_path / 'build', '14.2', FIXED)}:{ROOT}"
    assert command("status", PYTHONPATH=path).stdout.startswith("not-affected: websockets 14.2")


def test_status_with_the_kill_switch(command):
    result = command("status", code=1, WEBSOCKETS_CLOSEFIX="0")
    assert result.stdout.startswith("disabled: ")


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["verify"]])
def test_without_websockets(command, tmp_path, arguments):
    (tmp_path / "websockets.py").write_text("raise ImportError('no websockets here')")
    result = command(*arguments, code=1)
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert "no websockets here" in line


@pytest.mark.parametrize("name", ["status", "verify"])
def test_with_websockets_from_before_the_threading_implementation(command, tmp_path, name):
    build = write_build(tmp_path / "build", "10.4", "")
    (build / "websockets" / "sync" / "connection.py").unlink()
    result = command(name, PYTHONPATH=f"{build}:{ROOT}")
    assert result.stdout.startswith("not-affected: websockets 10.4 has no websockets.sync")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["verify", "--trials", "0"], "'0' isn't a whole number of at least 1"),
        (["verify", "--trials", "-3"], "--trials"),
        (["verify", "--trials", "many"], "'many' isn't a whole number of at least 1"),
        (["status", "--trials", "3"], "--trials"),
        (["repair"], "'repair'"),
        (["--unknown"], "--unknown"),
    ],
)
def test_bad_arguments_get_one_line_and_exit_code_2(capsys, arguments, complaint):
    with pytest.raises(SystemExit) as stop:
        command_line.main(arguments)
    assert stop.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert complaint in line
    assert "--help" in line


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        command_line.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == websockets_closefix.__version__


@affected
def test_verify(capsys):
    assert command_line.main(["verify", "--trials", "3"]) == 0
    output = capsys.readouterr()
    forced = output.out.splitlines()[3]
    assert forced.split("  ")[0] == "close(), the caller is held"
    assert forced.split()[-4:] == ["closed", "AssertionError", "closed", "ended"]
    assert "applied: " in output.out
    assert output.err == ""
    assert websockets_closefix.status().state == "applied"


@affected
def test_verify_with_the_kill_switch(capsys, monkeypatch):
    monkeypatch.setenv("WEBSOCKETS_CLOSEFIX", "0")
    assert command_line.main(["verify", "--trials", "1"]) == 1
    assert "disabled: " in capsys.readouterr().out


def test_verify_as_json_shows_its_progress_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(_provoke, "HOLD", 0.1)  # nothing is asserted about the race
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert command_line.main(["verify", "--trials", "2", "--json"]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert report["leaked"] == 0
    assert len(report["scenarios"]) == 5
    assert sum(report["scenarios"][4]["with"]["caller"].values()) == 2
    assert "with the shim: 2 closes, nobody is held (2)" in output.err
    assert output.err.endswith("\r\033[K")


def test_importing_main_runs_nothing():
    """As multiprocessing does in the processes it spawns."""
    assert importlib.import_module("websockets_closefix.__main__").main is command_line.main
