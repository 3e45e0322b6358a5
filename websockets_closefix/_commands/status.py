"""What ``status`` prints: where this environment stands, on a page one can send to a colleague."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import websockets_closefix

from . import held_back, run

ISSUE = "https://github.com/python-websockets/websockets/issues/1558"
FIRST_FIXED = "14.2"

SWITCHES = {
    "import": "by this command alone: a program of this environment has to import "
    "websockets_closefix, unless `python -m websockets_closefix enable` covers them all",
    "pth": "by a .pth file: every Python process of this environment is covered",
    "start": "by a .start file: every Python process of this environment is covered",
    "sitecustomize": "by sitecustomize: every Python process that imports it is covered",
    "usercustomize": "by usercustomize: every Python process that imports it is covered",
    "run": "by run: this process and its subprocesses are covered",
}


def gather() -> dict[str, Any]:
    """
    Look at the websockets that this process has imported, and at the installed distributions.

    Returns:
        The keys and values that ``status --json`` prints; README.md explains them.

    """
    status = websockets_closefix.status()
    websockets = sys.modules["websockets"]
    wrapt = sys.modules.get("wrapt")
    return {
        **status._asdict(),
        "websockets_location": str(Path(str(websockets.__file__)).parent),
        "affected": is_affected(),
        "issue": ISSUE,
        "first_fixed": FIRST_FIXED,
        "version": websockets_closefix.__version__,
        "switched_on_by": None if status.state == "disabled" else switched_on_by(),
        "wrapt_version": getattr(wrapt, "__version__", None),
        "held_back_by": held_back.holding_back(FIRST_FIXED),
    }


def is_affected() -> bool | None:
    """Tell whether this build of websockets has the flaw; None where nobody knows."""
    states = {flaw.state for flaw in websockets_closefix.status().flaws}
    return None if "unrecognised" in states else bool(states)


def switched_on_by() -> str:
    """Return the key of SWITCHES for what imported this package first, by the modules at work."""
    names = [name for name, _ in websockets_closefix._imported_by]
    files = [file for _, file in websockets_closefix._imported_by]
    if any(file.startswith(run.BOOTSTRAP) for file in files):
        return "run"
    if "sitecustomize" in names:
        return "sitecustomize"
    if "usercustomize" in names:
        return "usercustomize"
    if "site" in names:
        # It resolves the entry point of a .start file, and executes the lines of a .pth file.
        return "start" if "pkgutil" in names else "pth"
    return "import"


def as_text(found: dict[str, Any]) -> str:
    """Lay out what :func:`gather` found for a person; the first line is the verdict."""
    lines = [f"{found['state']}: {found['detail']}", ""]
    lines.append(f"websockets  {found['websockets_version']} in {found['websockets_location']}")
    if found["affected"]:
        lines.append(f"flaw        {ISSUE}, fixed in {FIRST_FIXED}")
    lines.append(f"shim        {found['version']}, {describe_switch(found)}")
    if found["wrapt_version"]:
        lines.append(f"wrapt       {found['wrapt_version']}")
    if found["affected"]:
        [first, *others] = describe_requirements(found["held_back_by"])
        lines.append(f"held back   {first}")
        lines += [f"            {line}" for line in others]
    return "\n".join(lines)


def describe_switch(found: dict[str, Any]) -> str:
    """Say how the shim got switched on, and whom that covers."""
    switch = found["switched_on_by"]
    return f"switched on {SWITCHES[switch]}" if switch else "switched off"


def describe_requirements(held_back_by: list[dict[str, str]] | None) -> list[str]:
    """Say who keeps websockets from being upgraded, and what to do about it."""
    cure = f"pip install 'websockets>={FIRST_FIXED}'"
    if held_back_by is None:
        return [
            "unknown without packaging: pip install 'websockets-closefix[status]', then ask again"
        ]
    if not held_back_by:
        return [f"by nothing that is installed: {cure} cures it for good"]
    return [
        *(f"by {each['name']} {each['version']}: {each['requirement']}" for each in held_back_by),
        f"upgrade these if you can, then {cure} cures it for good",
    ]
