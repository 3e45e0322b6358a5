"""Hostile surroundings: the shim has to hold wherever Python runs."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import websockets_closefix
from websockets_closefix._repro.peers import peer, stay_silent
from websockets_closefix._repro.sync import close_race
from websockets_closefix._repro.sync.ends import open_connection
from websockets_closefix._repro.sync.observing import observe

from .builds import write_build
from .conftest import ROOT, affected, installed_release, needs_fork
from .environments import run

pytestmark = affected

VERSION = installed_release()
SITE_PACKAGES = sysconfig.get_path("purelib")

# Meets the race as the caller, and says what came out of it.
MEET_THE_RACE = """
import websockets_closefix
from websockets_closefix._repro.sync import close_race

def meet_the_race():
    outcome = close_race.send("client")
    print(f"{websockets_closefix.status().state} {type(outcome.caller).__name__}", flush=True)
"""

CURED = "applied ConnectionClosedError"


def python_prints(*arguments, **kwargs):
    return run([sys.executable, *arguments], **kwargs).stdout.splitlines()


def test_isolated_mode():
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    assert python_prints("-I", "-c", f"{path}{MEET_THE_RACE}\nmeet_the_race()") == [CURED]


def test_without_site():
    path = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {SITE_PACKAGES!r}]\n"
    assert python_prints("-S", "-c", f"{path}{MEET_THE_RACE}\nmeet_the_race()") == [CURED]


@needs_fork
def test_fork(python):
    result = python(
        f"{MEET_THE_RACE}\n"
        "import os\n"
        "pid = os.fork()\n"
        "if pid: assert os.waitpid(pid, 0)[1] == 0\n"
        "meet_the_race()\n",
        "-Wignore",
    )
    assert result.stdout.splitlines() == [CURED, CURED]


def test_multiprocessing_spawn(tmp_path):
    (tmp_path / "program.py").write_text(
        f"{MEET_THE_RACE}\n"
        "import multiprocessing\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=meet_the_race)\n"
        "    process.start(); process.join(20); meet_the_race()\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert python_prints(str(tmp_path / "program.py"), env=environ) == [CURED, CURED]


@pytest.mark.skipif(
    sys.version_info < (3, 10), reason="zipimport can't be hooked before Python 3.10"
)
def test_zipped_application(tmp_path):
    """The application, the shim and websockets in one archive."""
    archive = tmp_path / "application.pyz"
    websockets = Path(SITE_PACKAGES, "websockets")
    with zipfile.ZipFile(archive, "w") as application:
        application.writestr("__main__.py", f"{MEET_THE_RACE}\nmeet_the_race()")
        for package in (ROOT / "websockets_closefix", websockets):
            for source in package.rglob("*.py"):
                application.write(source, source.relative_to(package.parent))
    lines = python_prints(
        "-c",
        f"import runpy, sys; sys.argv[0] = {str(archive)!r}\n"
        f"runpy.run_path({str(archive)!r}, run_name='__main__')\n"
        "import inspect, websockets.sync.connection as connection\n"
        "print(type(connection.__loader__).__name__, 'application.pyz' in connection.__file__)\n"
        "print(inspect.getsource(connection).count('def close_socket'))",
        cwd=tmp_path,
    )
    assert lines == [CURED, "zipimporter True", "1"]


def test_switched_on_and_off_by_many_threads_while_connections_die(switching):
    """Whatever the switch says at that moment: nothing hangs, and the last word holds."""
    dying = threading.Event()

    def hammer(number):
        while not dying.is_set():
            (websockets_closefix.apply if number % 2 else websockets_closefix.unapply)()

    def die(uri):
        websocket = open_connection(uri, close_timeout=0.005)
        return observe(websocket, websocket.close)

    with ThreadPoolExecutor(4) as pool, peer(stay_silent) as uri:
        hammers = [pool.submit(hammer, number) for number in range(4)]
        try:
            outcomes = [die(uri) for _ in range(25)]
        finally:
            dying.set()
        for each in hammers:
            each.result(timeout=10)
        leaked = {type(exc) for outcome in outcomes for exc in outcome if outcome.leaked}
        assert leaked <= {type(None), AssertionError, EOFError, ValueError}
        websockets_closefix.apply()
        assert websockets_closefix.status().state == "applied"
        assert not close_race.send("client").leaked


def test_without_websockets(environment):
    """Arming is harmless; only who asks for more hears of it."""
    environment.install([ROOT])
    program = (
        "import websockets_closefix\n"
        "print(websockets_closefix.status().state)\n"
        "try: websockets_closefix.apply(strict=True)\n"
        "except ImportError as exc: print(exc.name)"
    )
    assert environment.run("-c", program).stdout.split() == ["armed", "websockets"]
    result = environment.command("verify", code=1)
    assert "No module named 'websockets'" in result.stderr
    assert "not-importable: " in environment.command("status", code=1).stdout


def test_websockets_without_sync(python, tmp_path):
    build = write_build(tmp_path / "build", "14.1", "")
    for source in (build / "websockets" / "sync").iterdir():
        source.unlink()
    (build / "websockets" / "sync").rmdir()
    result = python(
        "import websockets_closefix, websockets\n"
        "print(websockets_closefix.apply().state)\n"
        "try: websockets_closefix.apply(strict=True)\n"
        "except ImportError as exc: print(exc.name)",
        PYTHONPATH=f"{build}{os.pathsep}{ROOT}",
    )
    assert result.stdout.split() == ["armed", "websockets.sync"]


def test_assertion_rewriting(tmp_path):
    """pytest's own import hook comes before ours, and rewrites the test that imports us."""
    (tmp_path / "test_application.py").write_text(
        f"{MEET_THE_RACE}\n"
        "def test_application(capsys):\n"
        "    meet_the_race()\n"
        f"    assert capsys.readouterr().out == '{CURED}\\n'\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    [*_, summary] = python_prints("-m", "pytest", "-q", cwd=tmp_path, env=environ)
    assert summary.startswith("1 passed")


def test_post_import_hook_of_wrapt(python):
    """Another import hook for the same module, before ours or after it."""
    hook = (
        "import wrapt\n"
        "seen = []\n"
        "wrapt.when_imported('websockets.sync.connection')(lambda module: seen.append(module))\n"
    )
    for program in (hook + MEET_THE_RACE, f"import websockets_closefix\n{hook}{MEET_THE_RACE}"):
        result = python(f"{program}\nmeet_the_race(); print(len(seen))")
        assert result.stdout.splitlines() == [CURED, "1"]


def test_gevent(python):
    pytest.importorskip("gevent")
    result = python(
        f"from gevent import monkey; monkey.patch_all()\n{MEET_THE_RACE}\nmeet_the_race()",
        "-Wignore",
    )
    assert result.stdout.splitlines() == [CURED]


@needs_fork
def test_fork_while_another_thread_is_being_repaired(python):
    """The child can be repaired, and switched off, all the same."""
    result = python(
        "import os, threading, websockets_closefix\n"
        "held, go_on = threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with websockets_closefix._state.lock: held.set(); go_on.wait(10)\n"
        "thread = threading.Thread(target=hold); thread.start(); held.wait(10)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    import websockets.sync.client\n"
        "    print(websockets_closefix.status().state, flush=True)\n"
        "    websockets_closefix.unapply(); os._exit(0)\n"
        "go_on.set(); thread.join(10); print(os.waitpid(pid, 0)[1])\n",
        "-Wignore",
    )
    assert result.stdout.splitlines() == ["applied", "0"]


def test_clock_that_stands_still(python):
    """As freezegun's, in a test of the application's; what is waited for never comes."""
    result = python(
        "import time\n"
        "import websockets_closefix, websockets.sync.client\n"
        "from websockets_closefix._fixes._waiting import wait_until\n"
        "time.monotonic = lambda: 0.0\n"
        "print(wait_until(lambda: False, 0.05))"
    )
    assert result.stdout.split() == ["False"]
