"""``run``: starts a program with the shim armed, otherwise as Python itself would start it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from . import interpreter
from .refused import Refused

BOOTSTRAP = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "_bootstrap")


def run(arguments: Sequence[str]) -> int:
    """
    Replace this process by one that runs a program, with the shim armed.

    Args:
        arguments: What Python is to be given: a script or ``-m`` and a module, and what follows.

    Returns:
        The program's exit code, on Windows alone, where a process can't be replaced.

    Raises:
        Refused: If this interpreter was started with an option that the program's interpreter is
            going to inherit, and that makes it blind to the shim; or if there is no interpreter.

    """
    if sys.flags.ignore_environment or sys.flags.no_site:
        raise Refused(
            "run needs PYTHONPATH and the site module, which the options -E, -I and -S switch "
            "off: leave them out, or import websockets_closefix in the program"
        )
    command = [interpreter.executable(), *interpreter.options(), *arguments]
    environ = {**os.environ, "PYTHONPATH": python_path()}
    if sys.platform != "win32":
        os.execve(sys.executable, command, environ)
    return subprocess.run(command, env=environ, check=False).returncode


def python_path() -> str:
    """Return PYTHONPATH with the folder in front whose ``sitecustomize`` arms the shim."""
    paths = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    return os.pathsep.join([BOOTSTRAP, *paths])
