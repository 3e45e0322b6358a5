"""apply(), unapply() and status(), in this process and in fresh ones."""

from __future__ import annotations

import pytest
import websockets.sync.connection

import websockets_closefix
from websockets_closefix import _detect
from websockets_closefix._fixes import FIXES

from .builds import CODE, FIXED, FLAWED, write_build
from .conftest import (
    ROOT,
    affected,
    bugs_of_the_release,
    has_none,
    has_some,
    installed_release,
)

VERSION = installed_release()


# In this process, which has imported websockets.


def test_status():
    status = websockets_closefix.status()
    assert status.state == expected()
    assert status.websockets_version == VERSION
    assert str(status) == status.detail
    assert isinstance(status.repaired, int)
    assert isinstance(status, websockets_closefix.Status)
    assert all(isinstance(flaw, websockets_closefix.BugStatus) for flaw in status.flaws)
    with pytest.raises(AttributeError):
        status.state = "armed"


def test_status_tells_what_is_done_about_each_flaw():
    rooms = [flaw for flaw in FIXES if flaw.room in bugs_of_the_release()]
    expected = [(flaw.issue, flaw.symptom, "applied") for flaw in rooms]
    assert list(websockets_closefix.status().flaws) == expected
    disabled = [(issue, symptom, "disabled") for issue, symptom, _ in expected]
    assert list(websockets_closefix.unapply().flaws) == disabled


@has_some
def test_advice_of_an_affected_release():
    detail = websockets_closefix.status().detail
    assert f"go to {_detect.CLEAN_RELEASES} when you can" in detail
    for flaw in FIXES:
        assert (flaw.name in detail) == (flaw.room in bugs_of_the_release())


@has_none
def test_advice_of_a_clean_release():
    assert "can be removed" in websockets_closefix.status().detail


def test_build_that_cannot_be_examined(monkeypatch):
    """Whatever fails there, the application's import of websockets doesn't."""

    def fail(module):
        raise LookupError("nobody foresaw this")

    monkeypatch.setattr(_detect, "examine", fail)
    with pytest.warns(RuntimeWarning, match="LookupError: nobody foresaw this"):
        websockets_closefix._repair(websockets.sync.connection)
    with pytest.raises(LookupError):
        websockets_closefix._repair(websockets.sync.connection, strict=True)


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
    return "applied" if bugs_of_the_release() else "not-affected"


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


def test_import_costs_two_modules(python):
    result = python(
        "import sys; before = set(sys.modules)\n"
        "import websockets_closefix\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    assert result.stdout.split() == ["websockets_closefix", "websockets_closefix._import_hook"]


@pytest.mark.parametrize(("version", "code"), [("14.2", FIXED), ("14.1", FIXED)])
def test_wrapt_is_not_imported_where_there_is_nothing_to_wrap(python, tmp_path, version, code):
    path = f"{write_build(tmp_path / 'build', version, code)}:{ROOT}"
    result = python(
        "import sys, websockets_closefix, websockets.sync.connection\n"
        "websockets_closefix.status(); print('wrapt' in sys.modules)",
        "-Wignore",
        PYTHONPATH=path,
    )
    assert result.stdout.split() == ["False"]


@has_none
def test_clean_release_costs_no_module_but_those_of_the_gate(python):
    result = python(
        "import sys, websockets.sync.client\n"
        "before = set(sys.modules)\n"
        "import websockets_closefix\n"
        "print(*set(sys.modules) - before)"
    )
    gate = {"_detect", "_fixes", "_layers"}
    assert set(result.stdout.split()) <= {
        "websockets_closefix",
        *(f"websockets_closefix.{name}" for name in ("_import_hook", *gate)),
    }


@pytest.mark.parametrize("value", ["0", "off", "false", "no", " OFF "])
def test_kill_switch_wins(python, value):
    result = python(
        SHOW
        + "show(); print(websockets_closefix.apply(strict=True)); import websockets.sync.client"
        "\nshow(); print('wrapt' in sys.modules)",
        WEBSOCKETS_CLOSEFIX=value,
    )
    first, detail, last, wrapt_imported = result.stdout.splitlines()
    assert (first, last) == ("disabled None", f"disabled {VERSION}")
    assert "WEBSOCKETS_CLOSEFIX" in detail
    assert wrapt_imported == "False"


@pytest.mark.parametrize("value", ["", "1", "on", "yes"])
def test_kill_switch_is_off_by_default(python, value):
    result = python(SHOW + "show()", WEBSOCKETS_CLOSEFIX=value)
    assert result.stdout.splitlines() == ["armed None"]


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
    result = python(SHOW + "import websockets; show()", PYTHONPATH=f"{build}:{ROOT}")
    assert result.stdout.splitlines() == ["not-affected 10.4"]


def test_resilience_says_which_websockets_it_needs(python, tmp_path):
    build = write_build(tmp_path / "build", "12.0", CODE["11.0.2"])
    result = python(
        "try: import websockets_closefix.resilience\nexcept ImportError as exc: print(exc)",
        PYTHONPATH=f"{build}:{ROOT}",
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
from websockets_closefix._fixes import FIXES

def wrapped(module):
    flaws = [verdict.flaw for verdict in _detect.examine(module)]
    targets = [target for flaw in flaws for target in _patch.targets(flaw, module)]
    return {_patch.is_wrapped(*target) for target in targets}
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
        PYTHONPATH=f"{tmp_path}:{ROOT}",
    )
    assert result.stdout.split() == ["ConnectionClosedError"]


def test_imported_while_another_thread_is_half_way_through_importing_websockets(python, tmp_path):
    """That import began before the hook was there, so that the hook never hears of it."""
    waits = "half_way.set()\ngo_on.wait(10)\n"
    build = write_build(tmp_path / "build", "14.1", waits + FLAWED)
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
        PYTHONPATH=f"{build}:{ROOT}",
    )
    assert result.stdout.split() == ["applied"]


def test_status_while_another_thread_is_half_way_through_importing_websockets(python, tmp_path):
    shows = "import websockets_closefix; print(websockets_closefix.status().state)\n"
    build = write_build(tmp_path / "build", "14.1", shows + FLAWED)
    result = python(
        "import websockets_closefix, websockets.sync.connection\n"
        "print(websockets_closefix.status().state)",
        PYTHONPATH=f"{build}:{ROOT}",
    )
    assert result.stdout.split() == ["armed", "applied"]


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
    """As typeguard's and jaxtyping's, if they are installed after ours."""
    result = python(SHOW + FASTER + "import websockets.sync.client; show()")
    assert result.stdout.splitlines() == [f"{expected()} {VERSION}"]


@has_some
def test_hook_that_is_faster_and_nobody_asks_for_the_status(python):
    """The next import of anything makes up for it."""
    result = python(
        SHOW + FASTER + "import threading, websockets.sync.client\n"
        "try: import a_module_that_nobody_has\n"
        "except ImportError: pass\n"
        "print('websockets_closefix._patch' in sys.modules, threading.active_count())\n"
        "show()"
    )
    assert result.stdout.splitlines() == ["True 1", f"applied {VERSION}"]


def test_lazy_import_recipe_of_the_standard_library(python):
    result = python(
        SHOW + "import importlib.util\n"
        "name = websockets_closefix.CONNECTION_MODULE\n"
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
        "thread = threading.Thread(target=__import__, args=('websockets.sync.client',))\n"
        "thread.start(); found.wait(10)\n" + SHOW + "show(); go_on.set(); thread.join(10); show()"
    )
    assert result.stdout.splitlines() == [f"armed {VERSION}", f"{expected()} {VERSION}"]


# Whatever goes wrong, the application starts.


def unrecognised(python, tmp_path, *options):
    path = f"{write_build(tmp_path / 'build', '14.2.dev3+g1234567', FLAWED)}:{ROOT}"
    program = "import websockets.sync.connection; websockets_closefix.apply(); show()"
    return python(SHOW + program, *options, PYTHONPATH=path)


@pytest.mark.parametrize("option", ["-Wdefault", "-Walways", "-Werror"])
def test_unrecognised_build_gets_one_warning_a_flaw(python, tmp_path, option):
    result = unrecognised(python, tmp_path, option)
    assert result.stdout.splitlines() == ["unrecognised 14.2.dev3+g1234567"]
    for name in ("issue 1555", "issue 1558"):
        assert result.stderr.count(f"{name} is left alone") == 1


def test_unrecognised_build_raises_if_strict(python, tmp_path):
    path = f"{write_build(tmp_path / 'build', '14.2.dev3+g1234567', FLAWED)}:{ROOT}"
    result = python(
        SHOW + "try: websockets_closefix.apply(strict=True)\n"
        "except RuntimeError as exc: print(type(exc).__name__, exc)",
        "-Wignore",
        PYTHONPATH=path,
    )
    assert result.stdout.startswith("UnrecognisedWebsockets websockets calls itself 14.2.dev3")


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


BROKEN_WRAPT = "sys.modules['wrapt'] = None\n"


@has_some
@pytest.mark.parametrize(
    "stderr", ["sys.stderr.close()", "sys.stderr = None", "sys.stderr = open('/dev/full', 'w', 1)"]
)
@pytest.mark.parametrize("option", ["-Walways", "-Werror"])
def test_warning_that_cannot_be_written(python, stderr, option):
    result = python(
        f"{SHOW}{BROKEN_WRAPT}{stderr}\n"
        "import websockets.sync.client; websockets_closefix.apply(); show(); sys.stderr = None",
        option,
    )
    assert result.stdout.splitlines() == [f"unrecognised {VERSION}"]


@has_some
def test_time_limit_that_strikes_during_the_repair(python):
    """It comes out of the import statement, as it would without the shim; the next one repairs."""
    result = python(
        SHOW + "import signal\n"
        "class TimeLimit(Exception): pass\n"
        "def strike(*args): raise TimeLimit\n"
        "signal.signal(signal.SIGALRM, strike)\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'wrapt':\n"
        "            sys.meta_path.remove(Finder); signal.raise_signal(signal.SIGALRM)\n"
        "sys.meta_path.insert(0, Finder)\n"
        "try: import websockets.sync.client\n"
        "except TimeLimit: print('time limit')\n"
        "import websockets.sync.client; show()"
    )
    assert result.stdout.splitlines() == ["time limit", f"applied {VERSION}"]
    assert result.stderr == ""


def test_apply_in_a_signal_handler_during_unapply(python):
    result = python(
        SHOW + "import signal; show()\n"
        "signal.signal(signal.SIGALRM, lambda *args: websockets_closefix.apply())\n"
        "with websockets_closefix._lock: signal.raise_signal(signal.SIGALRM)\n"
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
