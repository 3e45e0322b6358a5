"""An environment for an SDK: installs it, drives it, and asks what the shim has to say there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from .sdks import SDK

ROOT = Path(__file__).parents[2]
DRIVERS = Path(__file__).with_name("drivers")
DRIVER_TIMEOUT = 60
"""Seconds for a driver, all of whose waits are bounded; many times what one takes."""


class Failed(Exception):
    """A command that didn't do what it was there for; its text is what the command said."""


class Outcome(NamedTuple):
    """How a scenario of a driver ended."""

    scenario: str
    ends_well: bool
    ended_in: str


class Environment:
    """A virtual environment with pip, and nothing else at first."""

    def __init__(self, folder: Path) -> None:
        self.python = str(folder / ("Scripts" if sys.platform == "win32" else "bin") / "python")
        run("uv", "venv", "--quiet", "--seed", "--clear", "--python", sys.executable, str(folder))

    def install(self, *requirements: str) -> None:
        """Install requirements one by one: a later one may break the pins of an earlier one."""
        for requirement in requirements:
            run("uv", "pip", "install", "--quiet", "--python", self.python, requirement)

    def websockets(self) -> str:
        """Return the installed release."""
        return self.run("-c", "import websockets.version as v; print(v.version)").strip()

    def run(self, *arguments: str) -> str:
        """Run the interpreter somewhere where nothing can be imported from."""
        return run(self.python, *arguments)

    def drive(self, sdk: SDK, *how: str) -> list[Outcome]:
        """Have the driver of an SDK end its connections."""
        lines = self.run(*how, str(DRIVERS / f"{sdk.driver}.py")).splitlines()
        return [Outcome(*json.loads(line)) for line in lines]

    def status(self) -> dict[str, Any]:
        """Ask the shim about the environment, which has to be safe by then."""
        status: dict[str, Any] = json.loads(
            self.run("-m", "websockets_closefix", "status", "--json")
        )
        return status


def run(*command: str) -> str:
    """
    Run a command and return what it printed.

    Raises:
        Failed: If it couldn't be started, took too long or failed.

    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    try:
        result = subprocess.run(
            command,
            cwd=ROOT.anchor,
            env=inherited,
            capture_output=True,
            text=True,
            timeout=DRIVER_TIMEOUT * 5 if command[0] == "uv" else DRIVER_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Failed(str(exc)) from exc
    if result.returncode:
        raise Failed((result.stderr or result.stdout).strip().rpartition("\n")[2].strip())
    return result.stdout
