"""``status``: where this environment stands, on a page one can send to a colleague."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator

from .findings import Findings, ask

SWITCHES = {
    "run": "switched on by run: the program, and the Python processes that inherit its PYTHONPATH, "
    "import it",
    "enable": "switched on by enable: every new Python process of this environment imports it",
    "other": "switched on by something that Python imports as it starts (sitecustomize, "
    "usercustomize, a .pth file)",
    None: "not switched on in a new Python process",
}

DONE = {
    "applied": "fixed",
    "unrecognised": "left alone",
    "skipped": "skipped",
    "disabled": "not fixed",
}


def status(*, as_json: bool) -> int:
    """
    Print where the environment of this interpreter stands, as a new process of it finds it.

    Args:
        as_json: One object rather than a page.

    Returns:
        Exit code: 0 where closing is safe for a program of the environment, else 1.

    """
    found = ask(os.environ)
    print(json.dumps(found, indent=2) if as_json else as_text(found))
    return 0 if found["state"] in ("applied", "not-affected", "skipped") else 1


def as_text(found: Findings) -> str:
    """Lay out what was found: which environment, the verdict, and the rest."""
    environment = [f"{found['python']}, Python {found['python_version']}", found["site_packages"]]
    if found["pythonpath"]:
        environment.append(f"PYTHONPATH={found['pythonpath']}")
    lines = [*titled("environment", environment), "", f"{found['state']}: {found['detail']}", ""]
    if found["websockets_location"]:
        websockets = f"{found['websockets_version']} in {found['websockets_location']}"
        lines += titled("websockets", [websockets])
    lines += titled("examined", [f"websockets.{name}" for name in found["implementations"]])
    lines += titled("bugs", [describe(**bug) for bug in found["bugs"]])
    unknown = "WEBSOCKETS_CLOSEFIX_SKIP names {!r}, which is no fix"
    lines += titled("skip", map(unknown.format, found["unknown_skips"]))
    lines += titled("shim", [f"{found['version']}, {SWITCHES[found['switched_on_by']]}"])
    lines += titled("wrapt", filter(None, [found["wrapt_version"]]))
    return "\n".join(lines)


def titled(title: str, texts: Iterable[str]) -> Iterator[str]:
    """Put a title in front of the first of some texts, and indent the others."""
    for text in texts:
        yield f"{title:<11}  {text}"
        title = ""


def describe(name: str, issue: int | None, symptom: str, state: str) -> str:
    """Say what a bug does, and what is done about it."""
    number = f", issue {issue}" if issue else ""
    return f"{DONE[state]}: {symptom} ({name}{number})"
