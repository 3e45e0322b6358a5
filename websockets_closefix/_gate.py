"""
Which flaws a build of websockets has: version and code must agree, flaw by flaw.

Where only one of the two says that a flaw is there (a distribution's backport, a development
build, a fork, somebody else's patch), nobody has tested its repair: that flaw is left alone.

"""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Literal, NamedTuple

from ._flaws import FLAWS, Flaw

FIRST_WITH_SYNC = min(flaw.since for flaw in FLAWS)
NEWEST_FIX = max(flaw.fixed for flaw in FLAWS)

CLEAN_RELEASES = (
    "14.2, or 16.0 or later" if sys.version_info >= (3, 10) else "14.2"  # 16.0 needs Python 3.10
)


class Verdict(NamedTuple):
    """Whether a build has a flaw; of what isn't recognised, a sentence that says what to do."""

    flaw: Flaw
    name: Literal["affected", "unrecognised"]
    detail: str = ""


def examine(connection_module: ModuleType) -> list[Verdict]:
    """
    Judge a build of websockets.

    Args:
        connection_module: ``websockets.sync.connection``, fully imported.

    Returns:
        A verdict for each flaw that this build has or that can't be recognised in it; none for
        a clean release.

    """
    version = websockets_version()
    this = release(version)
    if this is not None and this >= NEWEST_FIX:
        return []  # whatever its code looks like by then
    verdicts = (judge(flaw, connection_module, version) for flaw in FLAWS)
    return [verdict for verdict in verdicts if verdict is not None]


def judge(flaw: Flaw, connection_module: ModuleType, version: str | None) -> Verdict | None:
    """Judge one flaw in a build; :obj:`None` if it isn't there."""
    this = release(version)
    if this is None:
        return Verdict(
            flaw,
            "unrecognised",
            f"websockets has a version that websockets-closefix can't read ({version!r}): left "
            f"alone; install websockets {CLEAN_RELEASES}",
        )
    appearances = {look_at(flaw, connection_module, method) for method in flaw.examined}
    if flaw.since <= this < flaw.fixed:
        if appearances == {"flawed"}:
            return Verdict(flaw, "affected")
        return unrecognised(
            flaw, *explain(f"websockets calls itself {version}", flaw, connection_module)
        )
    if appearances == {"flawed"}:
        return unrecognised(
            flaw,
            f"websockets calls itself {version}, but it has the flaw of {span(flaw)}",
            f"install websockets {CLEAN_RELEASES} from the package index",
        )
    return None


def look_at(flaw: Flaw, connection_module: ModuleType, method: str) -> str:
    """Say whether a method looks ``flawed``, ``cured``, ``compiled`` or ``unknown``."""
    from . import _layers  # which a release without flaws to come never needs

    found = _layers.definition(connection_module, method)
    originals = _layers.original_layers(*found) if found else []
    names = _layers.used_names(originals)
    if re.search(flaw.cured, names):
        return "cured"
    if re.search(flaw.flawed, names):
        return "flawed"
    return "compiled" if originals and not any(map(_layers.code_of, originals)) else "unknown"


def explain(beginning: str, flaw: Flaw, connection_module: ModuleType) -> tuple[str, str]:
    """Say why a flaw isn't recognised in a release that ought to have it, and what to do."""
    from . import _layers

    looks = {method: look_at(flaw, connection_module, method) for method in flaw.examined}
    method, appearance = next(each for each in looks.items() if each[1] != "flawed")
    found = _layers.definition(connection_module, method)
    if found is None:
        return (
            f"{beginning}, but has no {method}",
            f"install websockets {CLEAN_RELEASES} from the package index",
        )
    there = _layers.describe(_layers.layers(*found)[0])
    if appearance == "cured":
        return (
            f"{beginning}, but {there} already has the cure",
            "if that is a backport, nothing needs to be done",
        )
    if appearance == "compiled":
        return (
            f"{beginning}, but {there} is compiled, so that it can't be examined",
            f"install websockets {CLEAN_RELEASES} from the package index",
        )
    return (
        f"{beginning}, but {there} isn't the {method} of that release",
        "if another patch replaced it, import websockets_closefix before that patch",
    )


def unrecognised(flaw: Flaw, why: str, what_to_do: str) -> Verdict:
    """Put the sentence together."""
    return Verdict(flaw, "unrecognised", f"{why}: {flaw.name} is left alone; {what_to_do}")


def span(flaw: Flaw) -> str:
    """Name the releases that have a flaw."""
    since, fixed = (".".join(map(str, each)) for each in (flaw.since, flaw.fixed))
    return f"{since} and later, before {fixed}"


def websockets_version() -> str | None:
    """Return what the imported websockets calls itself; package metadata may belong to another."""
    return getattr(sys.modules.get("websockets.version"), "version", None)


def release(version: str | None) -> tuple[int, ...] | None:
    """
    Return the release segment of a version, as :pep:`440` names it.

    ``14.2.dev3+g1234567`` is on its way to 14.2 and counts as 14.2, not as a release before it.
    An epoch makes it another series of releases, of which nothing is known.

    """
    match = re.match(r"\d+(\.\d+)*(?!\d*!)", version or "")
    return tuple(int(number) for number in match[0].split(".")) if match else None


def predates_sync(version: str | None) -> bool:
    """Tell whether ``version`` names a release without ``websockets.sync``."""
    return () < (release(version) or ()) < FIRST_WITH_SYNC
