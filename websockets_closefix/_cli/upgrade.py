"""Which release without flaws the installed distributions allow, or who allows none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from packaging.specifiers import Specifier

    from .requirements import Demand

BRIDGE = "14.2"
"""The clean release among those with flaws: 15.0 brought another."""

CLEAN_FOR_GOOD = "16"

THOSE_TO_COME = "9999"

NEWER = {
    "16.0": (3, 10),
    "16.1": (3, 10),
    "16.1.1": (3, 10),
    "17.0": (3, 11),
    "17.0.1": (3, 11),
    "17.1": (3, 11),
    "17.2": (3, 11),
    "17.3": (3, 11),
    "17.4": (3, 11),
    THOSE_TO_COME: (3, 11),
}
"""Releases that are clean for good, with the first Python that they run on."""


class Holder(NamedTuple):
    """A distribution that keeps websockets from being upgraded, and how."""

    name: str
    version: str
    requirement: str


class Upgrade(NamedTuple):
    """
    Where websockets can go.

    Attributes:
        to: A requirement that every release which satisfies it is clean by, and allowed by all that
            is installed; :obj:`None` where there is none.
        held_back_by: Who makes it so that there is none; :obj:`None` where packaging isn't
            installed, without which requirements can't be read.
        unreadable: A sentence about each distribution whose metadata can't be read.

    """

    to: str | None
    held_back_by: list[Holder] | None
    unreadable: list[str]


def examine(installed: str) -> Upgrade:
    """
    Find out where websockets can go from the installed version.

    Args:
        installed: Version of websockets.

    """
    try:
        import packaging.requirements  # noqa: F401
    except ImportError:
        return Upgrade(None, None, [])
    from .requirements import demands

    found, unreadable = demands(installed)
    to = requirement(found)
    holders = [Holder(d.name, d.version, d.text) for d in blame(found)]
    return Upgrade(to, holders, unreadable)


def requirement(demands: Sequence[Demand]) -> str | None:
    """Intersect the clean releases with what is demanded; None where nothing is left."""
    specifiers = [each for demand in demands for each in demand.requirement.specifier]
    if any(allow(demands, release) for release in newer_releases(specifiers)):
        bounds = {str(each) for each in specifiers if is_bound(each)}
        if not any(bound.startswith((">", "=", "~")) for bound in bounds):
            bounds.add(f">={CLEAN_FOR_GOOD}")
        return "websockets" + ",".join(sorted(bounds, reverse=True))
    if allow(demands, BRIDGE):
        # The same release, as nothing came between it and 15.0, but read more easily.
        return f"websockets>={BRIDGE},<15" if allow(demands, "14.99") else f"websockets=={BRIDGE}"
    return None


def newer_releases(specifiers: Sequence[Specifier]) -> list[str]:
    """Return releases that are clean for good and run here: known ones and those that are named."""
    from packaging.version import Version

    known = [release for release, python in NEWER.items() if sys.version_info >= python]
    if THOSE_TO_COME not in known:
        return known
    named = [each.version.removesuffix(".*") for each in specifiers if each.operator != "==="]
    return known + [name for name in named if Version(name) >= Version(CLEAN_FOR_GOOD)]


def is_bound(specifier: Specifier) -> bool:
    """Tell whether a specifier excludes any release that is clean for good."""
    from packaging.version import Version

    return specifier.operator not in (">=", ">", "!=") or (
        Version(specifier.version.removesuffix(".*")) >= Version(CLEAN_FOR_GOOD)
    )


def blame(demands: Sequence[Demand]) -> list[Demand]:
    """Return those that allow no clean release; where each does, all that don't allow all."""
    culprits = [demand for demand in demands if requirement([demand]) is None]
    return culprits or [
        demand
        for demand in demands
        if not all(allow([demand], release) for release in [BRIDGE, *NEWER])
    ]


def allow(demands: Sequence[Demand], release: str) -> bool:
    """Tell whether all demands allow a release."""
    return all(demand.allows(release) for demand in demands)
