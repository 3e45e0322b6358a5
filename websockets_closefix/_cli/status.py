"""``status``: where this environment stands, on a page one can send to a colleague."""

from __future__ import annotations

import os
from collections.abc import Iterator

from .._fixes import every_fix
from .findings import Findings, ask

SWITCHES = {
    "run": "switched on by run: the program, and the Python processes that inherit its PYTHONPATH, "
    "have it",
    "enable": "switched on by enable: every new Python process of this environment has it",
    "other": "switched on by something that Python imports as it starts (sitecustomize, "
    "usercustomize, a .pth file): every new Python process that imports it has it",
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
    print(found.as_json() if as_json else as_text(found))
    return 0 if found.is_safe else 1


def as_text(found: Findings) -> str:
    """Lay out what was found: which environment, the verdict, and the rest."""
    environment = "\n".join(titled(environment_rows(found)))
    rest = "\n".join(titled(rows(found)))
    return f"{environment}\n\n{found.state}: {found.detail}\n\n{rest}"


def titled(rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    """Put a title in front of each text, unless it is that of the text before."""
    before = ""
    for title, text in rows:
        yield f"{'' if title == before else title:<11}  {text}"
        before = title


def environment_rows(found: Findings) -> Iterator[tuple[str, str]]:
    """Yield what says which environment this is."""
    yield "environment", f"{found.python}, Python {found.python_version}"
    yield "environment", found.site_packages
    if found.pythonpath:
        yield "environment", f"PYTHONPATH={found.pythonpath}"


def rows(found: Findings) -> Iterator[tuple[str, str]]:
    """Yield what was found in it."""
    if found.websockets_location:
        yield "websockets", f"{found.websockets_version} in {found.websockets_location}"
    if found.implementations:
        yield "examined", ", ".join(f"websockets.{name}" for name in found.implementations)
    for bug in found.bugs:
        issue = f", issue {bug.issue}" if bug.issue else ""
        yield "bugs", f"{DONE[bug.state]}: {bug.symptom} ({bug.name}{issue})"
    if found.unknown_skips:
        known = ", ".join(fix.name for fix in every_fix())
        unknown = ", ".join(found.unknown_skips)
        yield "unknown", f"{unknown} in WEBSOCKETS_CLOSEFIX_SKIP, which can name {known}"
    off = "; but WEBSOCKETS_CLOSEFIX switches it off" if found.state == "disabled" else ""
    yield "shim", f"{found.version}, {SWITCHES[found.switched_on_by]}{off}"
    if found.wrapt_version:
        yield "wrapt", found.wrapt_version
