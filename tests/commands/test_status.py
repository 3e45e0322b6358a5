"""What ``status`` tells: where this environment stands, and how it got there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import websockets
import wrapt

import websockets_closefix
from websockets_closefix._commands import command_line
from websockets_closefix._commands import status as _report

from ..builds import FIXED, write_build
from ..conftest import affected, installed_release
from ..environments import CURED, PACKAGES

VERSION = installed_release()


def status_of(environment, *switch, **environ):
    """Return what the status command says in an environment that has been switched on."""
    result = environment.run(*switch, "-m", "websockets_closefix", "status", "--json", **environ)
    return json.loads(result.stdout)


def switch_of(environment, *switch, **environ):
    found = status_of(environment, *switch, **environ)
    assert found["state"] == "applied"
    return found["switched_on_by"]


def customize(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("import websockets_closefix\n")
    return {"PYTHONPATH": str(tmp_path)}


@affected
class TestSwitchedOnBy:
    def test_import(self, environment, tmp_path):
        program = tmp_path / "program.py"
        program.write_text(
            "import runpy, sys, websockets_closefix\n"
            "del sys.argv[0]\n"
            "runpy.run_path(sys.argv[0], None, '__main__')"
        )
        assert environment.meets_the_race(program) == CURED
        assert switch_of(environment) == "import"

    def test_pth(self, environment):
        environment.command("enable")  # and test_site.py meets the race
        assert switch_of(environment) == "pth"

    def test_sitecustomize(self, environment, tmp_path):
        environ = customize(tmp_path, "sitecustomize")
        assert environment.meets_the_race(**environ) == CURED
        assert switch_of(environment, **environ) == "sitecustomize"

    def test_usercustomize(self, environment, tmp_path):
        """Of an interpreter that reads it, which one of a virtual environment doesn't."""
        outside = environment._replace(python=str(Path(environment.python).resolve()))
        environ = customize(tmp_path, "usercustomize")
        environ = {"PYTHONPATH": ":".join([environ["PYTHONPATH"], *PACKAGES])}
        assert outside.meets_the_race(**environ) == CURED
        assert switch_of(outside, **environ) == "usercustomize"

    def test_run(self, environment):
        run = ("-m", "websockets_closefix", "run")  # with which test_run.py meets the race
        assert switch_of(environment, *run) == "run"

    def test_the_first_counts(self, environment, tmp_path):
        environment.command("enable")
        environ = customize(tmp_path, "sitecustomize")
        assert switch_of(environment, **environ) == "pth"

    def test_nothing(self, environment):
        result = environment.command("status", "--json", code=1, WEBSOCKETS_CLOSEFIX="0")
        assert json.loads(result.stdout)["switched_on_by"] is None
        assert (
            "switched off" in environment.command("status", code=1, WEBSOCKETS_CLOSEFIX="0").stdout
        )


@pytest.mark.parametrize(
    ("modules", "switch"),
    [
        (["importlib", "pkgutil", "site"], "start"),  # by the source of Python 3.15
        (["importlib", "usercustomize", "importlib", "site"], "usercustomize"),
        (["importlib", "__main__", "runpy"], "import"),
    ],
)
def test_modules_at_work_during_the_import(monkeypatch, modules, switch):
    importers = [(name, "?") for name in modules]
    monkeypatch.setattr(websockets_closefix, "_imported_by", importers)
    assert _report.switched_on_by() == switch


@affected
def test_page_of_an_affected_release(capsys, monkeypatch):
    held_back_by = [
        {"name": "vendor-sdk", "version": "1.2", "requirement": "websockets<14.2,>=13"},
        {"name": "other", "version": "3", "requirement": 'websockets==14.1; extra == "live"'},
    ]
    monkeypatch.setattr(_report.held_back, "holding_back", lambda release: held_back_by)
    assert command_line.main(["status"]) == 0
    verdict, empty, *page = capsys.readouterr().out.splitlines()
    assert verdict.startswith(f"applied: websockets {VERSION} has the close race")
    assert empty == ""
    location = Path(websockets.__file__).parent
    assert page[0] == f"websockets  {VERSION} in {location}"
    assert page[1] == f"flaw        {_report.ISSUE}, fixed in 14.2"
    assert page[2].startswith(f"shim        {websockets_closefix.__version__}, switched on by ")
    assert page[3] == f"wrapt       {wrapt.__version__}"
    assert page[4:] == [
        "held back   by vendor-sdk 1.2: websockets<14.2,>=13",
        '            by other 3: websockets==14.1; extra == "live"',
        "            upgrade these if you can, then "
        "pip install 'websockets>=14.2' cures it for good",
    ]


@affected
@pytest.mark.parametrize(
    ("held_back_by", "line"),
    [
        ([], "by nothing that is installed: pip install 'websockets>=14.2' cures it for good"),
        (None, "unknown without packaging: pip install 'websockets-closefix[status]'"),
    ],
)
def test_nobody_known_to_hold_it_back(capsys, monkeypatch, held_back_by, line):
    monkeypatch.setattr(_report.held_back, "holding_back", lambda release: held_back_by)
    assert command_line.main(["status"]) == 0
    assert f"held back   {line}" in capsys.readouterr().out


def test_websockets_from_before_the_threading_implementation(environment, tmp_path):
    build = write_build(tmp_path, "10.4", "")
    (build / "websockets" / "sync" / "connection.py").unlink()
    environment.install([build, *PACKAGES])
    assert status_of(environment)["affected"] is False


def test_when_it_can_go(environment, tmp_path):
    """On a release without the flaw, where enable works all the same."""
    environment.install([write_build(tmp_path, "14.2", FIXED), *PACKAGES])
    environment.command("enable")
    page = environment.command("status").stdout.splitlines()
    assert page[0].startswith("not-affected: ")
    assert "can be removed" in page[0]
    assert [line.split()[0] for line in page[2:]] == ["websockets", "shim"]
    found = status_of(environment)
    assert found["affected"] is False
    assert found["switched_on_by"] == "pth"
    assert found["wrapt_version"] is None
    program = "import sys; print(sum(m.startswith('websockets_closefix') for m in sys.modules))"
    assert int(environment.run("-c", program).stdout) <= 3


def test_an_unrecognised_build_is_not_called_safe(environment, tmp_path):
    environment.install([write_build(tmp_path, "14.1", FIXED), *PACKAGES])
    found = json.loads(environment.command("status", "--json", code=1).stdout)
    assert found["state"] == "unrecognised"
    assert found["affected"] is None
