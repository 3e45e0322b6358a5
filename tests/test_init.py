"""apply(), unapply() and status(), in this process and in fresh ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import websockets.sync.client
import websockets.sync.connection
import websockets.sync.server

import websockets_closefix
from websockets_closefix import _detect
from websockets_closefix._fixes import fixes_of
from websockets_closefix._state import PACKAGES

from .builds import CODE, copy_build, write_build
from .conftest import ROOT, affected, bugs_of_the_release, has_some, installed_release

VERSION = installed_release()


# In this process, which has imported websockets.


def test_status():
    status = websockets_closefix.status()
    assert status.state == expected()
    assert status.websockets_version == VERSION
    assert str(status) == status.detail
    assert isinstance(status.repaired, int)
    assert isinstance(status, websockets_closefix.Status)
    assert all(isinstance(bug, websockets_closefix.BugStatus) for bug in status.bugs)
    with pytest.raises(AttributeError):
        status.state = "armed"


def bugs_in_the_imported():
    """Return what tests of this process can expect: they import websockets.sync alone."""
    return [fix for fix in fixes_of("websockets.sync") if fix.name in bugs_of_the_release()]


def test_status_tells_what_is_done_about_each_bug():
    expected = [(f.name, f.issue, f.symptom, "applied") for f in bugs_in_the_imported()]
    assert [bug for bug in websockets_closefix.status().bugs if bug in expected] == expected
    disabled = [(*bug[:3], "disabled") for bug in expected]
    assert [bug for bug in websockets_closefix.unapply().bugs if bug in disabled] == disabled


@has_some
def test_detail_names_what_is_fixed_and_in_which_implementation():
    detail = websockets_closefix.status().detail
    assert f"websockets {VERSION}, in websockets.sync" in detail
    for fix in bugs_in_the_imported():
        assert fix.name in detail


def test_build_that_cannot_be_examined(monkeypatch):
    """Whatever fails there, the application's import of websockets doesn't."""

    def fail(module):
        raise LookupError("nobody foresaw this")

    monkeypatch.setattr(_detect, "examine", fail)
    with pytest.warns(RuntimeWarning, match="LookupError: nobody foresaw this"):
        websockets_closefix._on_executed(websockets.sync.connection)
    with pytest.raises(LookupError):
        websockets_closefix.apply(strict=True)


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        websockets_closefix.unknown  # noqa: B018


# In fresh processes.

SHOW = """
import sys
import websockets_closefix

def show():
    status = websockets_closefix.status()
    print(status.state, status.websockets_version)
"""


def expected():
    return "applied" if bugs_in_the_imported() else "not-affected"


def test_import_before_websockets(python):
    result = python(
        SHOW + "show(); import websockets; show(); import websockets.sync.client; show()"
    )
    assert result.stdout.splitlines() == [
        "armed None",
        f"armed {VERSION}",
        f"{expected()} {VERSION}",
    ]


def test_import_after_websockets(python):
    result = python("import websockets.sync.client" + SHOW + "show()")
    assert result.stdout.splitlines() == [f"{expected()} {VERSION}"]


def test_import_costs_three_modules(python):
    result = python(
        "import sys; before = set(sys.modules)\n"
        "import websockets_closefix\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    names = [
        "websockets_closefix",
        "websockets_closefix._import_hook",
        "websockets_closefix._state",
    ]
    assert result.stdout.split() == names


def test_wrapt_is_not_imported_where_there_is_nothing_to_wrap(python, tmp_path):
    path = f"{write_build(tmp_path / 'build', '100.0', '')}{os.pathsep}{ROOT}"
    result = python(
        "import sys, websockets_closefix, websockets.sync.connection\n"
        "websockets_closefix.status(); print('wrapt' in sys.modules)",
        "-Wignore",
        PYTHONPATH=path,
    )
    assert result.stdout.split() == ["False"]


@pytest.mark.parametrize("package", PACKAGES)
def test_program_that_uses_one_implementation_pays_for_no_other(python, package):
    """Nothing is loaded or examined for the others."""
    module = {"legacy": "protocol"}.get(package.rpartition(".")[2], "connection")
    pytest.importorskip(f"{package}.{module}")
    result = python(
        f"import sys, websockets_closefix\nimport {package}.{module}\nprint(*sys.modules)",
        "-Wignore",
    )
    loaded = result.stdout.split()
    for other in set(PACKAGES) - {package}:
        if f"{other}.protocol" not in loaded:  # up to 13.1, websockets itself imports legacy
            assert f"websockets_closefix._fixes.{other.rpartition('.')[2]}" not in loaded


def test_kill_switch_wins(python):
    result = python(
        SHOW
        + "show(); print(websockets_closefix.apply(strict=True)); import websockets.sync.client"
        "\nshow(); print('wrapt' in sys.modules)",
        WEBSOCKETS_CLOSEFIX="0",
    )
    first, detail, last, wrapt_imported = result.stdout.splitlines()
    assert (first, last) == ("disabled None", f"disabled {VERSION}")
    assert "switched off by WEBSOCKETS_CLOSEFIX" in detail
    assert wrapt_imported == "False"


@pytest.mark.parametrize(
    ("value", "off"),
    [
        *[(value, True) for value in ("0", "off", "false", "no", " OFF ")],
        *[(value, False) for value in ("", "1", "on", "yes")],
    ],
)
def test_values_of_the_kill_switch(without_shim, monkeypatch, value, off):
    monkeypatch.setenv("WEBSOCKETS_CLOSEFIX", value)
    assert websockets_closefix.apply().state == ("disabled" if off else expected())


def test_unapply_before_websockets_is_imported(python):
    result = python(
        SHOW + "websockets_closefix.unapply(); import websockets.sync.client; show()\n"
        "print('wrapt' in sys.modules)"
    )
    assert result.stdout.splitlines() == [f"disabled {VERSION}", "False"]


def test_strict_imports_websockets(python):
    result = python(SHOW + "websockets_closefix.apply(strict=True); show()")
    assert result.stdout.splitlines() == [f"{expected()} {VERSION}"]


def test_strict_without_websockets(python, tmp_path):
    (tmp_path / "websockets.py").write_text("raise ImportError('no websockets here')")
    result = python(
        SHOW + "try: websockets_closefix.apply(strict=True)\n"
        "except ImportError as exc: print(exc)\n"
        "print(websockets_closefix.apply().state)",
    )
    assert result.stdout.splitlines() == ["no websockets here", "armed"]


def test_websockets_from_before_the_threading_implementation(python, tmp_path):
    build = write_build(tmp_path / "build", "10.4", "")
    for module in ("__init__", "connection"):
        (build / "websockets" / "sync" / f"{module}.py").unlink()
    (build / "websockets" / "sync").rmdir()
    result = python(SHOW + "import websockets; show()", PYTHONPATH=f"{build}{os.pathsep}{ROOT}")
    assert result.stdout.splitlines() == ["armed 10.4"]


def test_resilience_says_which_websockets_it_needs(python, tmp_path):
    build = write_build(tmp_path / "build", "12.0", CODE["11.0.2"])
    result = python(
        "try: import websockets_closefix.resilience\nexcept ImportError as exc: print(exc)",
        PYTHONPATH=f"{build}{os.pathsep}{ROOT}",
    )
    assert "needs websockets 13.1 or later" in result.stdout


@affected
def test_reload(python):
    result = python(
        SHOW + "import importlib, websockets.sync.connection as connection\n"
        "first = connection.Connection; importlib.reload(connection)\n"
        "assert connection.Connection is not first; show()\n"
        "print(type(vars(connection.Connection)['close_socket']).__name__)\n"
        "websockets_closefix.unapply()\n"
        "print(type(vars(connection.Connection)['close_socket']).__name__)\n"
    )
    assert result.stdout.splitlines() == [f"applied {VERSION}", "FunctionWrapper", "function"]


WRAPPED = """
from websockets_closefix import _detect, _patch

def wrapped(module):
    return {_patch.is_on(verdict.fix, module) for verdict in _detect.examine(module)}
"""


@has_some
def test_every_wrapper_survives_a_reload(python):
    result = python(
        SHOW + WRAPPED + "import importlib, websockets.sync.connection as connection\n"
        "importlib.reload(connection); show(); print(wrapped(connection))\n"
        "websockets_closefix.unapply(); print(wrapped(connection))\n"
        "websockets_closefix.apply(); print(wrapped(connection))"
    )
    assert result.stdout.splitlines() == [f"applied {VERSION}", "{True}", "{False}", "{True}"]


@has_some
def test_every_wrapper_survives_a_purge(python):
    result = python(
        SHOW + WRAPPED + "import websockets.sync.client\n"
        "first = websockets.sync.connection\n"
        "for name in list(sys.modules):\n"
        "    if name.partition('.')[0] == 'websockets': del sys.modules[name]\n"
        "show(); import websockets.sync.client; show()\n"
        "assert websockets.sync.connection is not first\n"
        "print(wrapped(websockets.sync.connection), wrapped(first))"
    )
    assert result.stdout.splitlines() == ["armed None", f"applied {VERSION}", "{True} {True}"]


@affected
def test_purged_modules(python):
    """Afterwards there are two copies of websockets, and the newer one must not be repaired."""
    result = python(
        SHOW + "import websockets.sync.client\n"
        "for name in list(sys.modules):\n"
        "    if name.partition('.')[0] == 'websockets': del sys.modules[name]\n"
        "show(); from websockets_closefix._repro.sync import close_race; show()\n"
        "print(type(close_race.send('client').caller).__name__)\n"
        "print(websockets_closefix.status().repaired)\n"
    )
    assert result.stdout.splitlines() == [
        "armed None",
        f"applied {VERSION}",
        "ConnectionClosedError",
        "0",
    ]


@affected
def test_sitecustomize(python, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import websockets_closefix\n")
    result = python(
        "import sys; assert 'websockets_closefix' in sys.modules\n"
        "from websockets_closefix._repro.sync import close_race\n"
        "print(type(close_race.send('client').caller).__name__)\n",
        PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}",
    )
    assert result.stdout.split() == ["ConnectionClosedError"]


def test_imported_while_another_thread_is_half_way_through_importing_websockets(python, tmp_path):
    """That import began before the hook was there, so that the hook never hears of it."""
    waits = "half_way.set()\ngo_on.wait(10)\n"
    build = copy_build(tmp_path / "build", VERSION, waits)
    result = python(
        "import builtins, threading\n"
        "builtins.half_way, builtins.go_on = threading.Event(), threading.Event()\n"
        "thread = threading.Thread(target=__import__, args=('websockets.sync.connection',))\n"
        "thread.start(); half_way.wait(10)\n"
        "original = __import__\n"
        "def let_go(name, *args, **kwargs):\n"
        "    if name == 'websockets.sync.connection': go_on.set()\n"
        "    return original(name, *args, **kwargs)\n"
        "builtins.__import__ = let_go\n"
        "import websockets_closefix\n"
        "go_on.set(); thread.join(10); print(websockets_closefix.status().state)\n",
        PYTHONPATH=f"{build}{os.pathsep}{ROOT}",
    )
    assert result.stdout.split() == [expected()]


def test_status_while_another_thread_is_half_way_through_importing_websockets(python, tmp_path):
    shows = "import websockets_closefix; print(websockets_closefix.status().state)\n"
    build = copy_build(tmp_path / "build", VERSION, shows)
    result = python(
        "import websockets_closefix, websockets.sync.connection\n"
        "print(websockets_closefix.status().state)",
        PYTHONPATH=f"{build}{os.pathsep}{ROOT}",
    )
    assert result.stdout.split() == ["armed", expected()]


@affected
def test_unapply_and_status_while_another_thread_is_half_way_through_importing_the_wrapper(python):
    result = python(
        SHOW + "class LookAround:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'wrapt': print(websockets_closefix.unapply().repaired)\n"
        "sys.meta_path.insert(0, LookAround)\n"
        "import websockets.sync.client; show()"
    )
    assert result.stdout.splitlines() == ["0", f"disabled {VERSION}"]


FASTER = """
import importlib.machinery, sys

class Faster:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("websockets."):
            return importlib.machinery.PathFinder.find_spec(name, path)

sys.meta_path.insert(0, Faster)
"""


def test_hook_that_is_faster(python):
    """As typeguard's and jaxtyping's, installed after ours: status() and apply() make up for it."""
    result = python(SHOW + FASTER + "import websockets.sync.client; show()")
    assert result.stdout.splitlines() == [f"{expected()} {VERSION}"]


def test_lazy_import_recipe_of_the_standard_library(python):
    result = python(
        SHOW + "import importlib.util\n"
        "name = 'websockets.sync.connection'\n"
        "spec = importlib.util.find_spec(name)\n"
        "spec.loader = importlib.util.LazyLoader(spec.loader)\n"
        "module = sys.modules[name] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "show(); import websockets.sync.client; show()"
    )
    assert result.stdout.splitlines() == [f"armed {VERSION}", f"{expected()} {VERSION}"]


def test_typeguard(python):
    pytest.importorskip("typeguard")
    result = python(
        SHOW + "import typeguard; typeguard.install_import_hook('websockets')\n"
        "import websockets.sync.client; show()",
        "-Wignore",
    )
    assert result.stdout.splitlines() == [f"{expected()} {VERSION}"]


def test_armed_between_finding_the_module_and_having_it(python):
    result = python(
        "import importlib.machinery, sys, threading\n"
        "found, go_on = threading.Event(), threading.Event()\n"
        "class Slow(importlib.machinery.SourceFileLoader):\n"
        "    def create_module(self, spec):\n"
        "        found.set(); go_on.wait(10)\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'websockets.sync.connection':\n"
        "            spec = importlib.machinery.PathFinder.find_spec(name, path)\n"
        "            spec.loader = Slow(spec.loader.name, spec.loader.path)\n"
        "            return spec\n"
        "sys.meta_path.insert(0, Finder)\n"
        "thread = threading.Thread(target=__import__, args=('websockets.sync.connection',))\n"
        "thread.start(); found.wait(10)\n" + SHOW + "show(); go_on.set(); thread.join(10); show()"
    )
    assert result.stdout.splitlines() == [f"armed {VERSION}", f"{expected()} {VERSION}"]


# Whatever goes wrong, the application starts.


def unrecognised(python, tmp_path, program, *options):
    """Run a program with a development build that says it has the cures, and hasn't."""
    build = copy_build(tmp_path / "build", "14.2.dev3+g1234567")
    return python(SHOW + program, *options, PYTHONPATH=f"{build}{os.pathsep}{ROOT}")


@affected
@pytest.mark.parametrize("option", ["-Wdefault", "-Walways", "-Werror"])
def test_unrecognised_build_gets_one_warning_a_bug(python, tmp_path, option):
    program = "import websockets.sync.connection; websockets_closefix.apply(); show()"
    result = unrecognised(python, tmp_path, program, option)
    assert result.stdout.splitlines() == ["unrecognised 14.2.dev3+g1234567"]
    assert result.stderr.count("sync.close_race is left alone") == 1


STRICT = """
try: websockets_closefix.apply(strict=True)
except RuntimeError as exc: print(type(exc).__name__, exc)
"""


@affected
@pytest.mark.parametrize("imported", ["", "import warnings, websockets.sync.client\n"])
def test_strict_raises_instead_of_warning_and_names_all(python, tmp_path, imported):
    """Also while websockets isn't imported yet."""
    option = "-Wignore" if imported else "-Walways"
    result = unrecognised(python, tmp_path, imported + STRICT, option)
    assert result.stdout.startswith("UnrecognisedWebsockets websockets calls itself 14.2.dev3")
    assert result.stderr == ""
    of_14_0 = "sync.paused_reader" in bugs_of_the_release()
    for name in ("sync.close_race", *(["sync.paused_reader"] if of_14_0 else [])):
        assert result.stdout.count(f"{name} is left alone") == 1


MOCKED = """
import sys
from unittest.mock import MagicMock
for name in NAMES:
    sys.modules[name] = MagicMock()
import websockets_closefix
for name in ("apply", "status", "unapply"):
    print(getattr(websockets_closefix, name)().state)
"""


@pytest.mark.parametrize(
    "names",
    [
        ["websockets", "websockets.sync", "websockets.sync.client", "websockets.exceptions"],
        ["websockets.sync.connection"],
        ["websockets", "websockets.sync", "websockets.sync.connection"],
        ["websockets", "websockets.version", "websockets.sync", "websockets.sync.connection"],
    ],
)
def test_websockets_that_is_a_mock(python, names):
    """As in the tests of an application: nothing is looked at, nothing raised."""
    result = python(f"NAMES = {names}\n{MOCKED}", "-Werror")
    assert result.stdout.split() == ["armed", "armed", "disabled"]


# Leaving single fixes off.


def skipping(python, names, program="", *options):
    program = (
        f"{SHOW}import websockets.sync.client\n{program}show()\n"
        "status = websockets_closefix.status(); print(status)\n"
        "print(*(bug.name for bug in status.bugs if bug.state == 'skipped'))"
    )
    return python(program, *options, WEBSOCKETS_CLOSEFIX_SKIP=names)


@affected
@pytest.mark.parametrize("names", ["sync.close_race", " sync.close_race ,"])
def test_skip_leaves_single_fixes_off(python, names):
    result = skipping(
        python,
        names,
        "method = vars(websockets.sync.connection.Connection)['close_socket']\n"
        "from websockets_closefix._detect import layers, name_of_fix\n"
        "owner = websockets.sync.connection.Connection\n"
        "assert 'sync.close_race' not in map(name_of_fix, layers(owner, 'close_socket'))\n",
        "-Werror",
    )
    state, detail, skipped = result.stdout.splitlines()
    assert state == f"applied {VERSION}" or len(bugs_in_the_imported()) == 1
    assert "WEBSOCKETS_CLOSEFIX_SKIP leaves off" in detail
    assert skipped == "sync.close_race"
    assert result.stderr == ""


@has_some
def test_skip_of_everything(python):
    names = ",".join(bugs_of_the_release())
    state, detail, skipped = skipping(python, names).stdout.splitlines()
    assert state == f"disabled {VERSION}"
    assert detail.startswith("WEBSOCKETS_CLOSEFIX_SKIP leaves off all that ")
    # The program hasn't imported the server.
    bugs = [f.name for f in bugs_in_the_imported() if f.module != "websockets.sync.server"]
    assert skipped.split() == bugs


@pytest.mark.parametrize("option", ["-Walways", "-Werror"])
def test_skip_of_a_name_that_is_unknown(python, option):
    result = skipping(python, "sync.close_rice,asyncio.any,1558", "", option)
    assert result.stdout.splitlines()[0] == f"{expected()} {VERSION}"
    for name in ("sync.close_rice", "1558"):
        assert result.stderr.count(f"WEBSOCKETS_CLOSEFIX_SKIP names {name!r}, which is no fix") == 1
    assert "asyncio" not in result.stderr  # it is looked at when websockets.asyncio is imported


@affected
def test_broken_wrapt(python, tmp_path):
    (tmp_path / "wrapt.py").write_text("raise ImportError('broken wrapt')")
    result = python(
        SHOW + "import websockets.sync.client; show()\n"
        "try: websockets_closefix.apply(strict=True)\n"
        "except ImportError as exc: print(exc)",
        "-Walways",
    )
    assert result.stdout.splitlines() == [f"unrecognised {VERSION}", "broken wrapt"]
    assert result.stderr.count("RuntimeWarning: websockets-closefix couldn't be applied") == 1


@has_some
@pytest.mark.parametrize(
    "wrapt",
    [
        "raise AttributeError('too old for this Python')",
        "this is no Python",
        "raise OSError('I/O error')",
        "",  # a folder that an uninstallation has left
        "import sys; sys.modules['wrapt'] = None",
    ],
)
def test_wrapt_is_named_where_it_is_broken(python, tmp_path, wrapt):
    (tmp_path / "wrapt.py").write_text(wrapt)
    result = python(
        SHOW + "import websockets.sync.client; print(websockets_closefix.apply())", "-Wignore"
    )
    assert "wrapt, which every fix needs, can't be imported" in result.stdout


def test_status_never_raises(monkeypatch):
    """Whatever somebody has put into the place of what websockets consists of."""
    monkeypatch.setattr(_detect, "examine", lambda module: 1 / 0)
    status = websockets_closefix.status()
    assert status.state == "unrecognised"
    assert "(ZeroDivisionError: division by zero)" in status.detail


BROKEN_WRAPT = "sys.modules['wrapt'] = None\n"


@has_some
@pytest.mark.parametrize(
    "stderr",
    [
        "sys.stderr.close()",
        "sys.stderr = None",
        pytest.param(
            "sys.stderr = open('/dev/full', 'w', 1)",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has it"),
        ),
    ],
)
@pytest.mark.parametrize("option", ["-Walways", "-Werror"])
def test_warning_that_cannot_be_written(python, stderr, option):
    result = python(
        f"{SHOW}{BROKEN_WRAPT}{stderr}\n"
        "import websockets.sync.client; websockets_closefix.apply(); show(); sys.stderr = None",
        option,
    )
    assert result.stdout.splitlines() == [f"unrecognised {VERSION}"]


def test_apply_in_a_signal_handler_during_unapply(python):
    result = python(
        SHOW + "import signal; show()\n"
        "signal.signal(signal.SIGINT, lambda *args: websockets_closefix.apply())\n"
        "with websockets_closefix._state.lock: signal.raise_signal(signal.SIGINT)\n"
        "show()"
    )
    assert result.stdout.splitlines() == ["armed None", "armed None"]


def test_import_hook_that_cannot_be_installed(python):
    result = python(
        "import sys, warnings; sys.meta_path = tuple(sys.meta_path)\n" + SHOW + "show()\n"
        "websockets_closefix.apply()\n"
        "try: websockets_closefix.apply(strict=True)\n"
        "except AttributeError as exc: print('strict')",
    )
    assert result.stdout.splitlines() == ["unrecognised None", "strict"]
    assert result.stderr.count("RuntimeWarning") == 1
