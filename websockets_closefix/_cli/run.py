"""``run``: starts a command with the shim switched on in every Python process that it starts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

BOOTSTRAP = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "_bootstrap")
"""The folder whose ``sitecustomize`` switches the shim on."""


def run(command: Sequence[str]) -> int:
    """
    Replace this process by a command.

    Returns:
        The command's exit code, on Windows alone, where a process can't be replaced; 127 if there
        is no such command, 126 if it can't be executed, as :manpage:`env(1)` does.

    Raises:
        SystemExit: With a sentence, if ``PYTHONPATH`` can't hold the bootstrap folder.

    """
    if os.pathsep in BOOTSTRAP:
        raise SystemExit(
            f"websockets-closefix: PYTHONPATH can't hold {BOOTSTRAP}, which has {os.pathsep!r} in "
            "its path: use `python -m websockets_closefix enable`"
        )
    environ = {**os.environ, "PYTHONPATH": python_path()}
    try:
        if sys.platform != "win32":
            os.execvpe(command[0], list(command), environ)
        program = shutil.which(command[0]) or command[0]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the command, too
        return subprocess.call([program, *command[1:]], env=environ)
    except (OSError, ValueError) as exc:  # an empty command is a ValueError
        print(f"websockets-closefix: {explain(command[0], exc)}", file=sys.stderr)
        return 127 if isinstance(exc, FileNotFoundError) else 126


def python_path() -> str:
    """Return ``PYTHONPATH`` with the bootstrap folder in front."""
    paths = [BOOTSTRAP, *filter(None, [os.environ.get("PYTHONPATH")])]
    opentelemetry = sys.modules.get("opentelemetry.instrumentation.auto_instrumentation")
    if opentelemetry is not None:
        # Some releases take their folder off PYTHONPATH in the process that they instrument, which
        # is this one, in the place of the command.
        paths.insert(1, os.path.dirname(os.path.abspath(str(opentelemetry.__file__))))
    return os.pathsep.join(dict.fromkeys(os.pathsep.join(paths).split(os.pathsep)))


def explain(command: str, exc: Exception) -> str:
    """Say why a command can't be started, and how to start a program that is a Python file."""
    why = f"{command or 'an empty command'} can't be started ({getattr(exc, 'strerror', exc)})"
    if command.endswith(".py") and os.path.isfile(command):
        return f"{why}: if Python is to run it, `websockets-closefix run python {command}`"
    return why
