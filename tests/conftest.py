"""What every test can rely on: the shim applied before it, and nothing left over after it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path

import pytest

import websockets_closefix
from websockets_closefix import _detect
from websockets_closefix._fixes import every_fix
from websockets_closefix._repro import waiting

from .environments import environment, environment_of_the_session, run  # noqa: F401

ROOT = Path(__file__).parent.parent

# Hundreds of processes import the package: they are to find its bytecode.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What ends takes milliseconds, but for a busy machine. Tests that show a hang shorten this.
waiting.HANG = 10.0


def pytest_addoption(parser):
    parser.addoption("--exhaustive", action="store_true", help="interrupt the pool at every line")


def pytest_collection_finish():
    """Have the garbage collector, which some tests call, look only at what tests make."""
    gc.collect()
    if hasattr(gc, "freeze"):  # PyPy hasn't
        gc.freeze()


@pytest.fixture(autouse=True)
def _applied():
    websockets_closefix.apply()
    yield
    websockets_closefix.apply()


@pytest.fixture(autouse=True)
def _nothing_left_over(request, _applied):
    threads, descriptors = set(threading.enumerate()), count_descriptors()
    yield
    collect_what_nobody_counts()
    for thread in set(threading.enumerate()) - threads:
        assert ends(thread), f"{thread} is left over:\n{stack_of(thread)}"
    # The event loop of an asyncio test is closed after this.
    if request.node.get_closest_marker("asyncio") is None and count_descriptors() > descriptors:
        gc.collect()  # costs too much to be done after every test
        assert count_descriptors() <= descriptors


def collect_what_nobody_counts():
    """Collect what CPython has collected already, because it counts references."""
    if sys.implementation.name != "cpython":
        gc.collect()


def ends(thread):
    """Wait for a thread to end, and tell whether it has."""
    thread._started.wait(5)  # enumerate() lists those that are about to start, too
    # Python's own, up to 3.12, if another thread joins it as it ends. PyPy is rarely without them.
    with contextlib.suppress(AssertionError, RuntimeError):
        thread.join(5)
    return not thread.is_alive()


def stack_of(thread):
    frame = sys._current_frames().get(thread.ident)
    return "".join(traceback.format_stack(frame)) if frame else "it has just ended"


def count_descriptors():
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0


@pytest.fixture
def without_shim():
    websockets_closefix.unapply()


@pytest.fixture
def switching():
    """Have threads take turns in the middle of everything."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def python(tmp_path):
    """Run a program, given as text, in an interpreter of its own."""

    def run_program(program, *options, code=0, **environ):
        return run(
            [sys.executable, *options, "-c", program],
            code=code,
            timeout=20,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        )

    return run_program


def installed_release():
    import websockets.version

    return websockets.version.version


def predates_resilience():
    return _detect.release(installed_release()) < (13, 1)


def bugs_of_the_release():
    """Return the names of the bugs that the installed release has, going by its version."""
    release = _detect.release(installed_release())
    return [fix.name for fix in every_fix() if fix.is_in(release)]


def has_bug(name):
    """Mark a test of a bug for the releases that have it."""
    return pytest.mark.skipif(
        name not in bugs_of_the_release(),
        reason=f"this release of websockets doesn't have {name}",
    )


has_some = pytest.mark.skipif(not bugs_of_the_release(), reason="this release has no bugs")
has_none = pytest.mark.skipif(bool(bugs_of_the_release()), reason="this release has bugs")

affected = has_bug("sync.close_race")

posix = pytest.mark.skipif(os.name != "posix", reason="Windows hasn't these signals or flags")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork()")
needs_alarm = pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no SIGALRM")


def is_wine():
    return sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


not_under_wine = pytest.mark.skipif(
    is_wine(),
    reason="Wine 8 leaves a thread in sendall() whose socket is closed; Windows doesn't",
)
can_block_proactor = pytest.mark.skipif(
    is_wine(), reason="under Wine 8, the proactor takes whatever is sent: nothing is ever unsent"
)
reset_is_remembered = pytest.mark.skipif(
    is_wine(), reason="under Wine 8, a recv() that comes after a reset meets the end of the stream"
)
closing_wakes_nobody = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows wakes a thread in recv() when its socket is closed"
)
needs_user_timeout = pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs TCP_USER_TIMEOUT, which Linux has"
)


def marks_of(scenario):
    """Return the marks of a scenario that not every platform can show."""
    if scenario.bug == "sync.blocked_send":
        return [not_under_wine]
    if scenario.bug in ("asyncio.blocked_send", "asyncio.abort"):
        return [can_block_proactor]
    return []
