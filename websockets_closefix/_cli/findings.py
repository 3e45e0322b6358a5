"""What there is to find out about an environment, by a new Python process of it."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import websockets_closefix

from .. import _status
from .._status import BugStatus, Status
from . import run, upgrade


class Findings(NamedTuple):
    """The keys and values that ``status --json`` prints; docs/commands.md explains them."""

    state: str
    detail: str
    python: str
    python_version: str
    site_packages: str
    pythonpath: str | None
    version: str
    switched_on_by: str | None
    websockets_version: str | None
    websockets_location: str | None
    wrapt_version: str | None
    flaws: list[BugStatus]
    upgrade_to: str | None
    held_back_by: list[upgrade.Holder] | None
    unreadable: list[str]

    @property
    def is_safe(self) -> bool:
        """Whether closing is safe for a program of the environment."""
        return self.state in ("applied", "not-affected")

    def as_json(self) -> dict[str, Any]:
        """Make objects of what JSON would take for arrays."""
        holders = self.held_back_by
        return {
            **self._asdict(),
            "flaws": [flaw._asdict() for flaw in self.flaws],
            "held_back_by": None if holders is None else [holder._asdict() for holder in holders],
        }

    @classmethod
    def from_json(cls, answer: dict[str, Any]) -> Findings:
        """Undo :meth:`as_json`."""
        holders = answer["held_back_by"]
        return cls(
            **{
                **answer,
                "flaws": [BugStatus(**flaw) for flaw in answer["flaws"]],
                "held_back_by": None if holders is None else [upgrade.Holder(**h) for h in holders],
            }
        )


def find(is_switched_on: bool) -> Findings:
    """
    Examine the environment of this process.

    Args:
        is_switched_on: Whether the shim was there before anything in this process asked for it.

    """
    state, detail, status = judge(is_switched_on)
    websockets_file = getattr(sys.modules.get("websockets"), "__file__", None)
    upgrading = (
        upgrade.examine(status.websockets_version)
        if status.websockets_version and state != "not-affected"
        else upgrade.Upgrade(None, [], [])
    )
    return Findings(
        state=state,
        detail=detail,
        python=sys.executable,
        python_version=platform.python_version(),
        site_packages=sysconfig.get_path("purelib"),
        pythonpath=os.environ.get("PYTHONPATH") or None,
        version=websockets_closefix.__version__,
        switched_on_by=switched_on_by() if is_switched_on else None,
        websockets_version=status.websockets_version,
        websockets_location=websockets_file and str(Path(websockets_file).parent),
        wrapt_version=getattr(sys.modules.get("wrapt"), "__version__", None),
        flaws=list(status.flaws),
        upgrade_to=upgrading.to,
        held_back_by=upgrading.held_back_by,
        unreadable=upgrading.unreadable,
    )


def judge(is_switched_on: bool) -> tuple[str, str, Status]:
    """Return a state and a sentence about the environment, and the status that they are from."""
    failure = import_websockets()
    status = websockets_closefix.status()
    if failure is not None:
        return (
            "not-importable",
            f"websockets.sync can't be imported here ({type(failure).__name__}: {failure}): there "
            "is nothing to examine; ask where websockets is installed",
            status,
        )
    if not status.flaws:  # then it doesn't matter whether the shim is switched off
        status = _status.derive(enabled=True, switched_off=False)
    has = f"websockets {status.websockets_version} has flaws in how connections end"
    if status.state == "applied" and is_switched_on:
        return "applied", f"{has}, and each is repaired in every new Python process", status
    if any(flaw.state == "applied" for flaw in status.flaws) and not is_switched_on:
        return (
            "not-switched-on",
            f"{has}, and nothing repairs them: run `python -m websockets_closefix enable`, or "
            "import websockets_closefix in the program",
            websockets_closefix.unapply(),
        )
    return status.state, status.detail, status


def import_websockets() -> Exception | None:
    """Have websockets examined, though nobody has needed it yet; return what keeps us from it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the verdict is about to be printed anyway
            importlib.import_module("websockets")
            if _status.derive(enabled=True, switched_off=False).state != "not-affected":
                importlib.import_module(websockets_closefix.CONNECTION_MODULE)
    except Exception as exc:
        return exc
    return None


def switched_on_by() -> str:
    """Say what imported this package first, by the modules at work."""
    names = [name for name, _ in websockets_closefix._imported_by]
    files = [file for _, file in websockets_closefix._imported_by]
    if any(file.startswith(run.BOOTSTRAP) for file in files):
        return "run"
    if "sitecustomize" in names:
        return "sitecustomize"
    if "usercustomize" in names:
        return "usercustomize"
    # site executes the lines of a .pth file, and calls what a .start file names.
    return "pth" if "<string>" in files else "start"
