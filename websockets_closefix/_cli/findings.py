"""What there is to find out about an environment, by a new Python process of it."""

from __future__ import annotations

import importlib
import json
import os
import platform
import site
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import websockets_closefix

from .. import _state
from .._fixes import every_fix
from .._status import Status, names
from .run import BOOTSTRAP

# The folder of this package comes last, so that there is an answer even where the environment
# doesn't have it. The current directory is no part of the environment.
PROGRAM = """\
import sys
is_switched_on = "websockets_closefix" in sys.modules
sys.path[:] = [*filter(None, sys.path), sys.argv[1]]
from websockets_closefix._cli import findings
findings.answer(is_switched_on)
"""

MARK = "websockets-closefix found: "

TIMEOUT = 60.0

Findings = dict[str, Any]
"""What ``status --json`` prints; docs/commands.md explains its keys."""


def ask(environ: Mapping[str, str]) -> Findings:
    """
    Have a new process look at its environment, and at whether it has the shim.

    Args:
        environ: Environment variables of that process.

    Raises:
        SystemExit: With a sentence, if there is no interpreter, or the process doesn't answer.

    """
    if getattr(sys, "frozen", False) or not sys.executable:
        raise refusal(
            "there is no interpreter here, as in a frozen program, which only an import reaches: "
            "import websockets_closefix in the program, and print(websockets_closefix.status())"
        )
    command = [sys.executable, "-c", PROGRAM, str(Path(websockets_closefix.__file__).parents[1])]
    try:
        result = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise refusal(f"a new process of {sys.executable} doesn't answer: {exc}") from exc
    # What is imported as Python starts may print something, too.
    _, mark, text = result.stdout.decode(errors="replace").partition(MARK)
    if not mark:
        *_, reason = ["it said nothing", *result.stderr.decode(errors="replace").splitlines()]
        raise refusal(
            f"a new process of {sys.executable} ended without an answer, with exit code "
            f"{result.returncode} ({reason}): see what it imports as it starts"
        )
    found: Findings = json.JSONDecoder().raw_decode(text)[0]
    return found


def refusal(sentence: str) -> SystemExit:
    """Return what ends this command with a sentence on standard error and exit code 1."""
    return SystemExit(f"websockets-closefix: {sentence}")


def answer(is_switched_on: bool) -> None:
    """Print what there is to find out; called in the new process."""
    print(f"\n{MARK}{json.dumps(find(is_switched_on))}", flush=True)


def find(is_switched_on: bool) -> Findings:
    """
    Examine the environment of this process.

    Args:
        is_switched_on: Whether the package was imported before this command asked for it.

    """
    implementations, failure = import_implementations()
    status = websockets_closefix.status()
    if not is_switched_on:
        bugs = [b._replace(state="disabled") if b.state == "applied" else b for b in status.bugs]
        status = status._replace(bugs=tuple(bugs))
    state, detail = judge(status)
    if failure is not None:
        state = "not-importable"
        detail = (
            f"websockets can't be imported here ({type(failure).__name__}: {failure}): ask the "
            "Python of an environment in which it can"
        )
    file = getattr(sys.modules.get("websockets"), "__file__", None)
    return {
        "state": state,
        "detail": detail,
        "python": sys.executable,
        "python_version": platform.python_version(),
        "site_packages": sysconfig.get_path("purelib"),
        "pythonpath": os.environ.get("PYTHONPATH") or None,
        "version": websockets_closefix.__version__,
        "switched_on_by": switched_on_by() if is_switched_on else None,
        "websockets_version": status.websockets_version,
        "websockets_location": file and os.path.dirname(file),
        "wrapt_version": getattr(sys.modules.get("wrapt"), "__version__", None),
        "implementations": implementations,
        "bugs": [bug._asdict() for bug in status.bugs],
        "unknown_skips": sorted(_state.skipped() - {fix.name for fix in every_fix()}),
    }


def import_implementations() -> tuple[list[str], Exception | None]:
    """
    Import the modules that some release has bugs in, as far as the installed one has them.

    Returns:
        Names of the implementations, without ``websockets.``; and what kept us from importing.

    """
    found: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # websockets.legacy is deprecated
            importlib.import_module("websockets.version")
            for module in dict.fromkeys(fix.module for fix in every_fix()):
                package = module.rpartition(".")[0]
                try:
                    importlib.import_module(module)
                except ModuleNotFoundError as exc:
                    if exc.name not in (module, package):
                        raise
                else:
                    found.append(package.partition(".")[2])
    except Exception as exc:
        return found, exc
    return list(dict.fromkeys(found)), None


def judge(status: Status) -> tuple[str, str]:
    """Return a state of the environment, and a sentence about it."""
    of = f"websockets {status.websockets_version}"
    states = {bug.state for bug in status.bugs}
    skipped = names(status.bugs, "skipped")
    but = f"; WEBSOCKETS_CLOSEFIX_SKIP leaves off {skipped}" if skipped else ""
    if not states:
        return "not-affected", f"{of} has none of the bugs that are fixed here"
    if states == {"skipped"}:
        return "skipped", f"WEBSOCKETS_CLOSEFIX_SKIP leaves off all that {of} needs: {skipped}"
    if _state.switched_off():
        return "disabled", status.detail
    if "disabled" in states:
        return (
            "not-switched-on",
            f"{of} has bugs in how connections end, which a new Python process doesn't fix: "
            f"{why_not()}",
        )
    if "unrecognised" in states:
        return "unrecognised", status.detail
    return "applied", f"{of} has bugs in how connections end, which are fixed{but}"


def why_not() -> str:
    """Say what would switch the shim on; or, under ``run``, what keeps that from doing so."""
    if is_run():
        other = getattr(sys.modules.get("sitecustomize"), "__file__", "another sitecustomize")
        return f"{other} is imported in the place of run's, and doesn't import the next one"
    return (
        "run `python -m websockets_closefix enable`, or import websockets_closefix in the program"
    )


def switched_on_by() -> str:
    """Say what had Python import the package as it started."""
    if is_run():
        return "run"
    folders = [sysconfig.get_path("purelib"), *site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    files = [Path(folder, "websockets_closefix.pth") for folder in folders]
    return "enable" if any(file.exists() for file in files) else "other"


def is_run() -> bool:
    """Tell whether ``run`` started this process, or one that it descends from."""
    return BOOTSTRAP in os.environ.get("PYTHONPATH", "").split(os.pathsep)
