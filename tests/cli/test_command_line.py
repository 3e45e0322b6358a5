"""The command line: what it prints, and its exit codes."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest

import websockets_closefix
from websockets_closefix._cli import command_line, findings, status

from ..builds import write_build
from ..conftest import ROOT
from ..environments import run

RUN = (
    "import runpy, sys; sys.argv = ['websockets-closefix', {}]\n"
    "runpy.run_module('websockets_closefix', run_name='__main__')"
)


@pytest.fixture
def found(monkeypatch):
    """Have new processes find that closing is safe, with a letter that isn't an ASCII one."""
    found = findings.find(is_switched_on=True)._replace(state="applied", detail="für alle")
    monkeypatch.setattr(status, "ask", lambda environ: found)
    return found


@pytest.mark.parametrize("arguments", [[], ["status"]])
def test_status(capsys, found, arguments):
    assert command_line.main(arguments) == 0
    assert capsys.readouterr() == (status.as_text(found) + "\n", "")


def test_status_as_json(capsys, found):
    assert command_line.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["detail"] == "für alle"


def test_status_where_closing_is_not_safe(capsys, monkeypatch, found):
    unsafe = found._replace(state="not-switched-on")
    monkeypatch.setattr(status, "ask", lambda environ: unsafe)
    assert command_line.main(["status"]) == 1
    assert "not-switched-on: " in capsys.readouterr().out


def test_what_is_refused_is_said_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    assert command_line.main(["status"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    [line] = output.err.splitlines()
    assert line.startswith("websockets-closefix: there is no interpreter here")


@pytest.mark.parametrize("arguments", ["status", "status --json", "enable", "--help", "--version"])
def test_a_reader_who_leaves(environment, arguments):
    """As head does: it is no reason for a traceback, nor for another exit code."""
    environment.command("enable")
    read, write = os.pipe()
    os.close(read)
    try:
        result = subprocess.run(
            [environment.python, "-m", "websockets_closefix", *arguments.split()],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        os.close(write)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_standard_output_that_is_closed(environment):
    environment.command("enable")
    command = f"{environment.python} -m websockets_closefix status >&-"
    run(["sh", "-c", command])


def test_a_standard_output_that_is_ascii(environment):
    environment.command("enable")
    result = environment.command("status", PYTHONIOENCODING="ascii", PYTHONPATH="/für")
    assert "PYTHONPATH=/f\\xfcr\n" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("arguments", [["verify"], ["verify", "--json"]])
def test_verify_without_websockets(python, tmp_path, arguments):
    (tmp_path / "websockets.py").write_text("raise ImportError('no websockets here')")
    result = python(RUN.format(", ".join(map(repr, arguments))), code=1)
    [line] = result.stderr.splitlines()
    assert "no websockets here" in line


def test_verify_with_websockets_from_before_the_threading_implementation(python, tmp_path):
    build = write_build(tmp_path / "build", "10.4", "")
    (build / "websockets" / "sync" / "connection.py").unlink()
    result = python(RUN.format("'verify'"), PYTHONPATH=f"{build}{os.pathsep}{ROOT}")
    assert "not-affected: websockets 10.4 has no websockets.sync" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["verify", "--trials", "0"], "'0' isn't a whole number of at least 1"),
        (["verify", "--trials", "-3"], "--trials"),
        (["verify", "--trials", "many"], "'many' isn't a whole number of at least 1"),
        (["status", "--trials", "3"], "--trials"),
        (["run", "-u", "x.py"], "unrecognised arguments: -u (see websockets-closefix run --help)"),
        (
            ["enable", "here"],
            "unrecognised arguments: here (see websockets-closefix enable --help)",
        ),
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


def test_importing_main_runs_nothing():
    """As multiprocessing does in the processes it spawns."""
    assert importlib.import_module("websockets_closefix.__main__").main is command_line.main
