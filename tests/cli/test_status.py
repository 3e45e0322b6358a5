"""What ``status`` tells: which environment, where that stands, and how it got there."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
import websockets
import wrapt

import websockets_closefix
from websockets_closefix._cli import findings, fresh_process
from websockets_closefix._cli import status as _status
from websockets_closefix._cli.refused import Refused
from websockets_closefix._cli.upgrade import Holder
from websockets_closefix._status import BugStatus

from ..builds import FIXED, FLAWED, write_build
from ..conftest import ROOT, affected, bugs_of_the_release, installed_release
from ..environments import CURED, PACKAGES

VERSION = installed_release()
FIXES = bugs_of_the_release()
RUN = ("-m", "websockets_closefix", "run")

flawed = pytest.mark.skipif(not FIXES, reason="this release of websockets is clean")
clean = pytest.mark.skipif(bool(FIXES), reason="this release of websockets has flaws")


def status_of(environment, *switch, code=0, **environ):
    """Return what the status command says of an environment."""
    command = [*switch, "-m", "websockets_closefix", "status", "--json"]
    return json.loads(environment.run(*command, code=code, **environ).stdout)


def switch_of(environment, *switch, **environ):
    found = status_of(environment, *switch, **environ)
    assert found["state"] == "applied"
    assert {flaw["state"] for flaw in found["flaws"]} == {"applied"}
    return found["switched_on_by"]


def customize(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("import websockets_closefix\n")
    return {"PYTHONPATH": str(tmp_path)}


def outside_of(environment):
    """Return its interpreter outside the virtual environment, which ignores the user's files."""
    return environment._replace(python=str(Path(environment.python).resolve()))


@pytest.fixture
def found():
    """What is found where a vendor's SDK pins websockets and the shim is switched on."""
    return findings.Findings(
        state="applied",
        detail="websockets 14.1 has flaws in how connections end, and each is repaired",
        python="/usr/bin/python3",
        python_version="3.11.2",
        site_packages="/usr/lib/python3/dist-packages",
        pythonpath=None,
        version="1.0.0",
        switched_on_by="pth",
        websockets_version="14.1",
        websockets_location="/usr/lib/python3/dist-packages/websockets",
        wrapt_version="2.5.2",
        flaws=[
            BugStatus(1558, "AssertionError when two threads close at once", "applied"),
            BugStatus(None, "AttributeError in the reader thread", "unrecognised"),
        ],
        upgrade_to=None,
        held_back_by=[Holder("vendor-sdk", "1.2", "websockets<14.2,>=13")],
        unreadable=["/x/broken.dist-info, which can't be read (UnicodeDecodeError)"],
    )


@flawed
class TestSwitchedOnBy:
    @affected
    def test_import(self, environment, tmp_path):
        """A program that imports the package is cured; no other process of the environment is."""
        program = tmp_path / "program.py"
        program.write_text(
            "import runpy, sys, websockets_closefix\n"
            "del sys.argv[0]\n"
            "runpy.run_path(sys.argv[0], None, '__main__')"
        )
        assert environment.meets_the_race(program) == CURED
        assert status_of(environment, code=1)["switched_on_by"] is None

    def test_pth(self, environment):
        environment.command("enable")  # and test_enable.py meets the race
        expected = "pth" if sys.version_info < (3, 15) else "start"
        assert switch_of(environment) == expected

    def test_sitecustomize(self, environment, tmp_path):
        environ = customize(tmp_path, "sitecustomize")
        assert switch_of(environment, **environ) == "sitecustomize"
        assert status_of(environment, **environ)["pythonpath"] == str(tmp_path)

    def test_usercustomize(self, environment, tmp_path):
        environ = customize(tmp_path, "usercustomize")
        environ = {"PYTHONPATH": os.pathsep.join([environ["PYTHONPATH"], *PACKAGES])}
        assert switch_of(outside_of(environment), **environ) == "usercustomize"

    def test_run(self, environment):
        assert switch_of(environment, *RUN) == "run"  # with which test_run.py meets the race

    def test_the_first_counts(self, environment, tmp_path):
        environment.command("enable")
        environ = customize(tmp_path, "sitecustomize")
        assert switch_of(environment, **environ) in ("pth", "start")


@pytest.mark.parametrize(
    ("importers", "switch"),
    [
        ("importlib, websockets_closefix_start, site", "start"),
        ("importlib, site <string>, site", "pth"),
        ("importlib, websockets_closefix_start, site <string>, site", "pth"),
        ("importlib, usercustomize, importlib, site", "usercustomize"),
        ("importlib, sitecustomize, importlib, site", "sitecustomize"),
    ],
)
def test_modules_at_work_during_the_import(monkeypatch, importers, switch):
    frames = [each.partition(" ")[::2] for each in importers.split(", ")]
    monkeypatch.setattr(websockets_closefix, "_imported_by", frames)
    assert findings.switched_on_by() == switch


@flawed
class TestWithFlaws:
    def test_not_switched_on(self, environment):
        """An image build that forgot enable fails."""
        found = status_of(environment, code=1)
        assert found["state"] == "not-switched-on"
        assert found["detail"].startswith(f"websockets {VERSION} has flaws")
        assert "websockets_closefix enable" in found["detail"]
        assert len(found["flaws"]) == len(FIXES)
        assert {flaw["state"] for flaw in found["flaws"]} == {"disabled"}

    def test_a_package_that_only_pythonpath_reaches(self, environment):
        """The status command has it then, and other processes don't."""
        environment.install(PACKAGES[:1])
        assert status_of(environment, code=1, PYTHONPATH=PACKAGES[1])["switched_on_by"] is None

    def test_the_kill_switch(self, environment):
        environment.command("enable")
        found = status_of(environment, code=1, WEBSOCKETS_CLOSEFIX="0")
        assert found["state"] == "disabled"
        page = environment.command("status", code=1, WEBSOCKETS_CLOSEFIX="0").stdout
        assert "but WEBSOCKETS_CLOSEFIX switches it off" in page

    def test_the_current_directory_is_no_part_of_the_environment(self, environment, tmp_path):
        (tmp_path / "websockets.py").write_text("raise ImportError('not me')")
        program = f"import os, runpy; os.chdir({str(tmp_path)!r})\n"
        program += "runpy.run_module('websockets_closefix', run_name='__main__', alter_sys=True)"
        page = environment.run("-c", program, code=1).stdout
        assert f"not-switched-on: websockets {VERSION} has flaws" in page


@clean
class TestWithoutFlaws:
    @pytest.mark.parametrize("environ", [{}, {"WEBSOCKETS_CLOSEFIX": "0"}])
    def test_it_can_go(self, environment, environ):
        page = environment.command("status", **environ).stdout
        assert f"not-affected: websockets {VERSION} ends connections well" in page
        assert "can be removed" in page
        assert "has to import" not in page
        assert "go to" not in page

    def test_enabled_all_the_same(self, environment):
        environment.command("enable")
        found = status_of(environment)
        assert found["state"] == "not-affected"
        assert found["switched_on_by"] in ("pth", "start")
        assert found["wrapt_version"] is None
        assert found["flaws"] == []


def test_names_the_environment_first(environment):
    found = environment.run("-m", "websockets_closefix", code=1 if FIXES else 0).stdout
    python, site_packages, empty, verdict, *_ = found.splitlines()
    assert re.fullmatch(rf"environment  {environment.python}, Python 3\.\d+\.\S+", python)
    assert site_packages.strip() == str(environment.site_packages)
    assert empty == ""
    assert verdict.partition(":")[0] == ("not-switched-on" if FIXES else "not-affected")


def test_keys_are_documented(environment):
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \| (?:string|array)[^|]* \| .* \|$", page, re.MULTILINE)
    found = status_of(environment, code=1 if FIXES else 0)
    assert list(found) == documented
    assert found["version"] == websockets_closefix.__version__
    assert found["websockets_location"] == str(Path(websockets.__file__).parent)
    assert found["wrapt_version"] == (wrapt.__version__ if FIXES else None)


def test_every_state_is_documented():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([\w-]+)` \| [^|]* \| \d \|$", page, re.MULTILINE)
    of_a_process = {"applied", "not-affected", "unrecognised", "disabled"}
    assert set(documented) == {*of_a_process, "not-switched-on", "not-importable"}


def test_websockets_from_before_the_threading_implementation(environment, tmp_path):
    build = write_build(tmp_path, "10.4", "")
    (build / "websockets" / "sync" / "connection.py").unlink()
    environment.install([build, *PACKAGES])
    found = status_of(environment)
    assert found["state"] == "not-affected"
    assert "has no websockets.sync" in found["detail"]


@pytest.mark.parametrize("is_enabled", [True, False])
@pytest.mark.parametrize(("version", "source"), [("14.1", FIXED), ("14.2", FLAWED)])
def test_an_unrecognised_build_is_not_called_safe(
    environment, tmp_path, version, source, is_enabled
):
    environment.install([write_build(tmp_path, version, source), *PACKAGES])
    if is_enabled:
        environment.command("enable")
    found = status_of(environment, code=1)
    assert found["state"] == "unrecognised"
    assert f"websockets calls itself {version}, but" in found["detail"]


def test_without_websockets(environment, tmp_path):
    (tmp_path / "websockets.py").write_text("raise ImportError('no websockets here')")
    environment.install([tmp_path, *PACKAGES])
    found = status_of(environment, code=1)
    assert found["state"] == "not-importable"
    assert "no websockets here" in found["detail"]
    assert (found["websockets_version"], found["websockets_location"]) == (None, None)
    page = environment.command("status", code=1).stdout
    assert "not-importable: websockets.sync can't be imported here" in page
    assert "\nwebsockets" not in page


def test_what_is_printed_as_python_starts_is_passed_over(environment, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, websockets_closefix\nprint('hello'); atexit.register(print, 'good-bye')\n"
    )
    result = environment.command("status", "--json", PYTHONPATH=str(tmp_path))
    assert result.stdout.startswith("hello\n{")


def test_a_broken_distribution_costs_its_own_line(environment, tmp_path):
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_bytes("Name: broken\nAuthor: Jürgen\n".encode("latin-1"))
    environment.install([tmp_path, write_build(tmp_path / "b", "14.1", FLAWED), *PACKAGES])
    page = environment.command("status", code=1).stdout.splitlines()
    assert page[-1] == f"passed over  {info}, which can't be read (UnicodeDecodeError)"


def test_page(found):
    assert _status.as_text(found) == (
        "environment  /usr/bin/python3, Python 3.11.2\n"
        "             /usr/lib/python3/dist-packages\n"
        "\n"
        "applied: websockets 14.1 has flaws in how connections end, and each is repaired\n"
        "\n"
        "websockets   14.1 in /usr/lib/python3/dist-packages/websockets\n"
        "flaws        repaired: AssertionError when two threads close at once (issue 1558)\n"
        "             left alone: AttributeError in the reader thread\n"
        "shim         1.0.0, switched on by a .pth file: every new Python process of this "
        "environment is covered\n"
        "wrapt        2.5.2\n"
        "held back    by vendor-sdk 1.2: websockets<14.2,>=13\n"
        "             these allow no release without flaws: stay on 14.1, with the shim, until "
        "they do\n"
        "passed over  /x/broken.dist-info, which can't be read (UnicodeDecodeError)"
    )


@pytest.mark.parametrize(
    ("installed", "to", "line"),
    [
        ("14.1", "websockets>=16", "pip install 'websockets>=16'"),
        ("14.1", "websockets>=14.2,<15", "pip install 'websockets>=14.2,<15'"),
        (
            "15.0.1",
            "websockets>=14.2,<15",
            "pip install 'websockets>=14.2,<15', which is older than 15.0.1",
        ),
        ("15.0.1", "websockets>=16", "pip install 'websockets>=16'"),
    ],
)
def test_where_to_go(found, installed, to, line):
    page = _status.as_text(found._replace(websockets_version=installed, upgrade_to=to))
    assert f"\ngo to        {line}\n" in page
    assert "held back" not in page


def test_without_packaging_nobody_knows_where_to_go(found):
    page = _status.as_text(found._replace(held_back_by=None, pythonpath="/x"))
    assert "unknown without packaging: pip install 'websockets-closefix[status]'" in page
    assert "\n             PYTHONPATH=/x\n" in page


def test_findings_survive_json(found):
    for findings_ in (found, found._replace(held_back_by=None)):
        answer = json.loads(json.dumps(findings_.as_json()))
        assert findings.Findings.from_json(answer) == findings_


class TestNoAnswer:
    def test_a_process_that_ends(self, environment, tmp_path, monkeypatch):
        (tmp_path / "sitecustomize.py").write_text("import os; os.write(2, b'oh'); os._exit(7)")
        monkeypatch.setattr(sys, "executable", environment.python)
        with pytest.raises(Refused, match=r"without an answer, with exit code 7 \(oh\)"):
            fresh_process.ask({"PYTHONPATH": str(tmp_path)})

    def test_a_process_that_hangs(self, environment, tmp_path, monkeypatch):
        (tmp_path / "sitecustomize.py").write_text("import time; time.sleep(60)")
        monkeypatch.setattr(sys, "executable", environment.python)
        monkeypatch.setattr(fresh_process, "TIMEOUT", 0.5)
        with pytest.raises(Refused, match=r"doesn't answer: .* timed out after 0\.5 seconds"):
            fresh_process.ask({"PYTHONPATH": str(tmp_path)})

    @pytest.mark.parametrize("frozen", [True, False])
    def test_no_interpreter(self, monkeypatch, frozen):
        monkeypatch.setattr(sys, "frozen", frozen, raising=False)
        monkeypatch.setattr(sys, "executable", sys.executable if frozen else "")
        with pytest.raises(Refused, match="import websockets_closefix in the program"):
            fresh_process.ask({})


def test_who_keeps_it_from_going_further(found):
    holder = Holder("vendor-sdk", "1.2", "websockets<15,>=13")
    page = _status.as_text(found._replace(upgrade_to="websockets>=14.2,<15", held_back_by=[holder]))
    assert "\n             no further, for vendor-sdk 1.2: websockets<15,>=13\n" in page


def test_whom_run_covers(found):
    page = _status.as_text(found._replace(switched_on_by="run"))
    assert "switched on by run: the program and the Python processes" in page
