"""``status``: where this environment stands, on a page one can send to a colleague."""

from __future__ import annotations

import json
import os
import site
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path

from .. import _detect
from .._status import BugStatus
from .enable import exceptions
from .findings import Findings
from .fresh_process import ask
from .site_files import FILES
from .upgrade import BRIDGE

SWITCHES = {
    "pth": "by a .pth file",
    "start": "by a .start file",
    "sitecustomize": "by sitecustomize: every new Python process that imports it is covered",
    "usercustomize": "by usercustomize: every new Python process that imports it is covered",
    "run": "by run: the program and the Python processes that inherit its PYTHONPATH are covered",
}

CARE = {"applied": "repaired", "unrecognised": "left alone", "disabled": "not repaired"}


def status(*, as_json: bool) -> tuple[str, int]:
    """
    Examine the environment of this interpreter, as a new process finds it.

    Args:
        as_json: One object rather than a page.

    Returns:
        What to print, and the exit code: 0 where closing is safe for any new Python process of
        the environment, else 1.

    """
    found = ask(os.environ)
    text = json.dumps(found.as_json(), indent=2) if as_json else as_text(found)
    return text, 0 if found.is_safe else 1


def as_text(found: Findings) -> str:
    """Lay out what was found for a person: which environment, the verdict, and the rest."""
    environment = [
        ("environment", f"{found.python}, Python {found.python_version}"),
        ("", found.site_packages),
    ]
    if found.pythonpath:
        environment.append(("", f"PYTHONPATH={found.pythonpath}"))
    rows = []
    if found.websockets_location:
        rows.append(
            ("websockets", f"{found.websockets_version} in {found.websockets_location}"),
        )
    rows += titled("flaws", map(describe_flaw, found.flaws))
    rows.append(("shim", f"{found.version}, {describe_switch(found)}"))
    if found.wrapt_version:
        rows.append(("wrapt", found.wrapt_version))
    if found.flaws:
        rows += describe_upgrade(found)
    rows += titled("passed over", found.unreadable)
    verdict = f"{found.state}: {found.detail}"
    return f"{as_columns(environment)}\n\n{verdict}\n\n{as_columns(rows)}"


def as_columns(rows: Iterable[tuple[str, str]]) -> str:
    """Set titles before texts."""
    return "\n".join(f"{title:<11}  {text}" for title, text in rows)


def titled(title: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give the first of the texts a title."""
    return zip(chain([title], repeat("")), texts)


def describe_flaw(flaw: BugStatus) -> str:
    """Name a flaw by what it does, and say what is done about it."""
    number = f" (issue {flaw.issue})" if flaw.issue else ""
    return f"{CARE[flaw.state]}: {flaw.symptom}{number}"


def describe_switch(found: Findings) -> str:
    """Say what switches the shim on, and whom that covers."""
    if found.switched_on_by is None:
        return "not switched on in a new Python process"
    off = ", but WEBSOCKETS_CLOSEFIX switches it off" if found.state == "disabled" else ""
    covered = ""
    if found.switched_on_by in ("pth", "start"):
        covered = f": every new Python process of this environment is covered{uncovered(found)}"
    return f"switched on {SWITCHES[found.switched_on_by]}{covered}{off}"


def uncovered(found: Findings) -> str:
    """Name whoever isn't covered by the files of ``enable``, wherever they are."""
    folder, of_the_user = Path(found.site_packages), Path(site.getusersitepackages())
    has_files = [any((f / name).exists() for name in FILES) for f in (folder, of_the_user)]
    return exceptions(of_the_user if has_files == [False, True] else folder)


def describe_upgrade(found: Findings) -> Iterator[tuple[str, str]]:
    """Say where websockets can go from here, or who keeps it."""
    if found.upgrade_to:
        older = is_older(found.upgrade_to, found.websockets_version)
        note = f", which is older than {found.websockets_version}" if older else ""
        holders = [
            f"no further, for {each.name} {each.version}: {each.requirement}"
            for each in found.held_back_by or []
        ]
        return titled("go to", [f"pip install '{found.upgrade_to}'{note}", *holders])
    if found.held_back_by is None:
        packaging = "pip install 'websockets-closefix[status]'"
        return titled("go to", [f"unknown without packaging: {packaging}, then ask again"])
    return titled(
        "held back",
        [
            *(f"by {each.name} {each.version}: {each.requirement}" for each in found.held_back_by),
            f"these allow no release without flaws: stay on {found.websockets_version}, with the "
            "shim, until they do",
        ],
    )


def is_older(requirement: str, installed: str | None) -> bool:
    """Tell whether a requirement leads back to the clean release before 15.0."""
    return BRIDGE in requirement and (_detect.release(installed) or ()) > (14, 2)
