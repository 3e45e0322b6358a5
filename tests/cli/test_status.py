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
from websockets_closefix._cli import findings
from websockets_closefix._cli import status as _status

from ..builds import FIXED, FLAWED, write_build
from ..conftest import ROOT, bugs_of_the_release, has_none, has_some, installed_release
from ..environments import PACKAGES, WINDOWS, link

VERSION = installed_release()
NAMES = bugs_of_the_release()


def status_of(environment, *run, **environ):
    """Return what a new process of an environment finds, as the command asks it to."""
    command = [*run, "-c", findings.PROGRAM, environment.site_packages]
    return json.loads(environment.run(*command, **environ).stdout.partition(findings.MARK)[2])


def switch_of(environment, *run, **environ):
    found = status_of(environment, *run, **environ)
    assert found["state"] == "applied"
    assert {bug["state"] for bug in found["bugs"]} == {"applied"}
    return found["switched_on_by"]


def customize(folder, name):
    (folder / f"{name}.py").write_text("import websockets_closefix\n")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def found():
    """What is found where a vendor's SDK pins websockets and the shim is switched on."""
    bug = {"name": "sync.a", "issue": 1558, "symptom": "AssertionError", "state": "applied"}
    another = {"name": "asyncio.b", "issue": None, "symptom": "hang", "state": "unrecognised"}
    return {
        "state": "applied",
        "detail": "websockets 14.1 has bugs in how connections end, which are fixed",
        "python": "/usr/bin/python3",
        "python_version": "3.11.2",
        "site_packages": "/usr/lib/python3/dist-packages",
        "pythonpath": None,
        "version": "1.0.0",
        "switched_on_by": "enable",
        "websockets_version": "14.1",
        "websockets_location": "/usr/lib/python3/dist-packages/websockets",
        "wrapt_version": "2.5.2",
        "implementations": ["sync", "asyncio"],
        "bugs": [bug, another],
        "unknown_skips": [],
    }


@has_some
class TestSwitchedOnBy:
    def test_import(self, environment):
        """A program that imports the package has the shim; the environment hasn't."""
        assert status_of(environment)["switched_on_by"] is None

    def test_enable(self, environment):
        environment.enable()
        assert switch_of(environment) == "enable"

    def test_sitecustomize(self, environment, tmp_path):
        environ = customize(tmp_path, "sitecustomize")
        assert switch_of(environment, **environ) == "other"
        assert status_of(environment, **environ)["pythonpath"] == str(tmp_path)

    @pytest.mark.skipif(WINDOWS, reason="a virtual environment there has no link to its base")
    def test_usercustomize(self, environment, tmp_path):
        path = customize(tmp_path, "usercustomize")["PYTHONPATH"]
        # Outside the virtual environment, which ignores the user's files.
        base = environment._replace(python=os.path.realpath(environment.python))
        assert switch_of(base, PYTHONPATH=os.pathsep.join([path, *PACKAGES])) == "other"

    def test_run(self, environment):
        run = ("-m", "websockets_closefix", "run", environment.python)
        assert switch_of(environment, *run) == "run"


@has_some
class TestWithBugs:
    def test_not_switched_on(self, environment):
        """An image build that forgot enable fails."""
        found = json.loads(environment.command("status", "--json", code=1).stdout)
        assert found["state"] == "not-switched-on"
        assert found["detail"].startswith(f"websockets {VERSION} has bugs")
        assert "websockets_closefix enable" in found["detail"]
        assert sorted(bug["name"] for bug in found["bugs"]) == sorted(NAMES)
        assert {bug["state"] for bug in found["bugs"]} == {"disabled"}

    def test_a_package_that_only_pythonpath_reaches(self, environment):
        """The status command has it then, and other processes don't."""
        environment.install(PACKAGES[:1])
        assert status_of(environment, PYTHONPATH=PACKAGES[1])["switched_on_by"] is None

    def test_the_kill_switch(self, environment):
        environment.enable()
        found = status_of(environment, WEBSOCKETS_CLOSEFIX="0")
        assert found["state"] == "disabled"
        assert "switched off by WEBSOCKETS_CLOSEFIX" in found["detail"]

    def test_the_current_directory_is_no_part_of_the_environment(self, environment, tmp_path):
        (tmp_path / "websockets.py").write_text("raise ImportError('not me')")
        program = f"import os, runpy; os.chdir({str(tmp_path)!r})\n"
        program += "runpy.run_module('websockets_closefix', run_name='__main__', alter_sys=True)"
        page = environment.run("-c", program, code=1).stdout
        assert f"not-switched-on: websockets {VERSION} has bugs" in page

    def test_without_wrapt(self, environment, tmp_path):
        environment.install([link(tmp_path / "packages", "websockets", "websockets_closefix")])
        environment.enable()
        found = status_of(environment)
        assert found["state"] == "unrecognised"
        assert found["detail"].startswith("wrapt, which every fix needs, can't be imported")
        assert found["wrapt_version"] is None

    def test_under_run_with_another_sitecustomize_in_its_place(self, environment, tmp_path):
        """As that of OpenTelemetry, which doesn't import the next one."""
        other = tmp_path / "sitecustomize.py"
        other.write_text("")
        path = os.pathsep.join([str(tmp_path), findings.BOOTSTRAP])
        found = status_of(environment, PYTHONPATH=path)
        assert found["state"] == "not-switched-on"
        assert f"{other} is imported in the place of run's" in found["detail"]


@has_some
class TestSkipped:
    def test_one(self, environment):
        environment.enable()
        found = status_of(environment, WEBSOCKETS_CLOSEFIX_SKIP=NAMES[0])
        states = {bug["name"]: bug["state"] for bug in found["bugs"]}
        assert states.pop(NAMES[0]) == "skipped"
        assert set(states.values()) <= {"applied"}
        assert found["state"] == ("applied" if states else "skipped")
        assert NAMES[0] in found["detail"]

    def test_all(self, environment):
        """There is nothing left to switch the shim on for."""
        found = status_of(environment, WEBSOCKETS_CLOSEFIX_SKIP=",".join(NAMES))
        assert found["state"] == "skipped"
        assert found["detail"].endswith(f" needs: {', '.join(b['name'] for b in found['bugs'])}")

    def test_a_typo(self, environment):
        environ = {"WEBSOCKETS_CLOSEFIX_SKIP": f"sync.typo, {NAMES[0]}"}
        assert status_of(environment, **environ)["unknown_skips"] == ["sync.typo"]


@pytest.mark.parametrize(("version", "source"), [("14.1", FIXED), ("14.2", FLAWED)])
def test_an_unrecognised_build_is_not_called_safe(environment, tmp_path, version, source):
    environment.install([write_build(tmp_path, version, source), *PACKAGES])
    environment.enable()
    found = status_of(environment)
    assert found["state"] == "unrecognised"
    assert f"websockets calls itself {version}, but" in found["detail"]
    # Unless an operator has decided to live with it, as with a backport that he knows.
    unrecognised = [b["name"] for b in found["bugs"] if b["state"] == "unrecognised"]
    skip = {"WEBSOCKETS_CLOSEFIX_SKIP": ",".join(unrecognised)}
    found = status_of(environment, **skip)
    assert {b["state"] for b in found["bugs"]} <= {"skipped", "applied"}
    assert environment.run("-c", "import websockets.sync.connection", **skip).stderr == ""


@has_none
@pytest.mark.parametrize("environ", [{}, {"WEBSOCKETS_CLOSEFIX": "0"}])
def test_a_release_without_bugs(environment, environ):
    page = environment.command("status", **environ).stdout
    assert f"not-affected: websockets {VERSION} has none of the bugs" in page


def test_websockets_from_before_all_that_is_fixed(environment, tmp_path):
    build = write_build(tmp_path, "10.4", "")
    (build / "websockets" / "sync" / "connection.py").unlink()
    environment.install([build, *PACKAGES])
    for environ in ({}, {"WEBSOCKETS_CLOSEFIX": "0"}):
        found = status_of(environment, **environ)
        assert found["state"] == "not-affected"
        assert found["detail"] == "websockets 10.4 has none of the bugs that are fixed here"
        assert (found["implementations"], found["bugs"]) == ([], [])


def test_without_websockets(environment, tmp_path):
    (tmp_path / "websockets.py").write_text("raise ImportError('no websockets here')")
    environment.install([tmp_path, *PACKAGES])
    found = status_of(environment)
    assert found["state"] == "not-importable"
    assert "no websockets here" in found["detail"]
    assert (found["websockets_version"], found["websockets_location"]) == (None, None)


def test_an_implementation_that_cannot_be_imported(environment, tmp_path):
    build = write_build(tmp_path, "14.1", "import no_such_module")
    environment.install([build, *PACKAGES])
    found = status_of(environment)
    assert found["state"] == "not-importable"
    assert "no_such_module" in found["detail"]


def test_examines_every_implementation_that_has_fixes(python):
    """As far as the release has it; that one is deprecated is no reason to complain."""
    program = """
from websockets_closefix._cli import findings
fix = findings.every_fix()[0]
modules = ["websockets.sync.connection", "websockets.asyncio.connection",
           "websockets.legacy.protocol", "websockets.sync.no_such", "websockets.none.at_all"]
findings.every_fix = lambda: [fix._replace(module=module) for module in modules]
print(findings.import_implementations())
"""
    release = tuple(map(int, VERSION.split(".")))
    expected = ["sync", "asyncio", "legacy"] if release >= (13, 0) else ["sync", "legacy"]
    assert python(program, "-Werror").stdout == f"({expected}, None)\n"


def test_names_the_environment_first(environment):
    found = environment.run("-m", "websockets_closefix", code=1 if NAMES else 0).stdout
    python, site_packages, empty, verdict, *_ = found.splitlines()
    assert re.fullmatch(
        rf"environment  {re.escape(environment.python)}, Python 3\.\d+\.\S+", python
    )
    assert site_packages.strip() == str(environment.site_packages)
    assert empty == ""
    assert verdict.partition(":")[0] == ("not-switched-on" if NAMES else "not-affected")


def test_keys_are_documented(environment):
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \| (?:string|array)[^|]* \| .* \|$", page, re.MULTILINE)
    found = status_of(environment)
    assert list(found) == documented
    assert found["version"] == websockets_closefix.__version__
    assert found["websockets_location"] == str(Path(websockets.__file__).parent)
    assert found["wrapt_version"] == (wrapt.__version__ if NAMES else None)
    assert "sync" in found["implementations"]


def test_every_state_is_documented():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([\w-]+)` \| [^|]* \| \d \|$", page, re.MULTILINE)
    of_a_process = {"applied", "not-affected", "unrecognised", "disabled"}
    assert set(documented) == {*of_a_process, "skipped", "not-switched-on", "not-importable"}


def test_what_is_printed_as_python_starts_does_not_matter(environment, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, websockets_closefix\nprint('hello'); atexit.register(print, 'good-bye')\n"
    )
    result = environment.command("status", "--json", PYTHONPATH=str(tmp_path))
    assert result.stdout.startswith("hello\n{")


def test_page(found):
    assert _status.as_text(found) == (
        "environment  /usr/bin/python3, Python 3.11.2\n"
        "             /usr/lib/python3/dist-packages\n"
        "\n"
        "applied: websockets 14.1 has bugs in how connections end, which are fixed\n"
        "\n"
        "websockets   14.1 in /usr/lib/python3/dist-packages/websockets\n"
        "examined     websockets.sync\n"
        "             websockets.asyncio\n"
        "bugs         fixed: AssertionError (sync.a, issue 1558)\n"
        "             left alone: hang (asyncio.b)\n"
        "shim         1.0.0, switched on by enable: every new Python process of this environment "
        "imports it\n"
        "wrapt        2.5.2"
    )


def test_page_of_a_process_with_less_and_one_with_more(found):
    page = _status.as_text({**found, "pythonpath": "/x", "unknown_skips": ["a", "b"]})
    assert "\n             PYTHONPATH=/x\n" in page
    assert (
        "\nskip         WEBSOCKETS_CLOSEFIX_SKIP names 'a', which is no fix\n"
        "             WEBSOCKETS_CLOSEFIX_SKIP names 'b', which is no fix\n"
    ) in page
    nothing = {
        "websockets_location": None,
        "implementations": [],
        "bugs": [],
        "wrapt_version": None,
    }
    page = _status.as_text({**found, **nothing, "switched_on_by": None})
    assert page.endswith("\n\nshim         1.0.0, not switched on in a new Python process")


class TestNoAnswer:
    def refuse(self, **environ):
        with pytest.raises(SystemExit) as stop:
            findings.ask(environ)
        assert stop.value.code.startswith("websockets-closefix: ")
        return stop.value.code

    def test_a_process_that_ends(self, environment, tmp_path, monkeypatch):
        (tmp_path / "sitecustomize.py").write_text("import os; os.write(2, b'oh'); os._exit(7)")
        monkeypatch.setattr(sys, "executable", environment.python)
        reason = self.refuse(**{**os.environ, "PYTHONPATH": str(tmp_path)})
        assert "without an answer, with exit code 7 (oh)" in reason

    def test_a_process_that_hangs(self, environment, tmp_path, monkeypatch):
        (tmp_path / "sitecustomize.py").write_text("import time; time.sleep(60)")
        monkeypatch.setattr(sys, "executable", environment.python)
        monkeypatch.setattr(findings, "TIMEOUT", 0.5)
        reason = self.refuse(**{**os.environ, "PYTHONPATH": str(tmp_path)})
        assert "doesn't answer: " in reason
        assert "timed out after 0.5 seconds" in reason

    @pytest.mark.parametrize("frozen", [True, False])
    def test_no_interpreter(self, monkeypatch, frozen):
        monkeypatch.setattr(sys, "frozen", frozen, raising=False)
        monkeypatch.setattr(sys, "executable", sys.executable if frozen else "")
        assert "import websockets_closefix in the program" in self.refuse()
