"""Asks a new Python process of this environment, which knows nothing of this one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import websockets_closefix

from . import interpreter
from .findings import Findings, find
from .refused import Refused

# The folder of this package is the last resort, so that there is somebody to answer even where the
# environment hasn't got it. The current directory is no part of the environment.
PROGRAM = """\
import sys
is_switched_on = "websockets_closefix" in sys.modules
sys.path[:] = [*filter(None, sys.path), sys.argv[1]]
from websockets_closefix._cli import fresh_process
fresh_process.answer(is_switched_on)
"""

MARK = "websockets-closefix found: "

TIMEOUT = 60.0


def ask(environ: Mapping[str, str]) -> Findings:
    """
    Have a new process look at its environment, and at whether it has the shim.

    Args:
        environ: Environment variables of that process.

    Returns:
        What it found.

    Raises:
        Refused: If there is no interpreter to start, or the process doesn't answer.

    """
    python = interpreter.executable()
    command = [python, "-c", PROGRAM, str(Path(websockets_closefix.__file__).parents[1])]
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
        raise Refused(f"a new process of {python} doesn't answer: {exc}") from exc
    # Whatever is imported as Python starts may print something, too.
    _, mark, text = result.stdout.decode(errors="replace").partition(MARK)
    if not mark:
        [*_, reason] = ["", *result.stderr.decode(errors="replace").splitlines()]
        raise Refused(
            f"a new process of {python} ended without an answer, with exit code "
            f"{result.returncode} ({reason or 'it said nothing'}): see what it imports as it starts"
        )
    answer, _ = json.JSONDecoder().raw_decode(text)
    return Findings.from_json(answer)


def answer(is_switched_on: bool) -> None:
    """Print what there is to find out; called in the new process."""
    print(f"\n{MARK}{json.dumps(find(is_switched_on).as_json())}", flush=True)


def environ_without_pythonpath() -> dict[str, str]:
    """Return this process's environment variables as a service would have them."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
