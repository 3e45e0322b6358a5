"""What the installed distributions require of websockets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

OURS = "websockets-closefix"  # whose extra for its own tests wants 14.1


class Demand(NamedTuple):
    """A requirement on websockets, and whose it is."""

    name: str
    version: str
    requirement: Requirement
    text: str
    """As the distribution wrote it."""

    def allows(self, release: str) -> bool:
        """Tell whether it allows a release; one that names an address allows no other thing."""
        specifier = self.requirement.specifier
        return not self.requirement.url and specifier.contains(release, prereleases=True)


def demands(installed: str) -> tuple[list[Demand], list[str]]:
    """
    Find what the installed distributions require of websockets.

    A requirement for other Pythons or systems than this one doesn't count. Nor does one that
    belongs to an extra and that the installed websockets doesn't satisfy: nobody asked for that
    extra. Metadata don't say more about extras than that.

    Args:
        installed: Version of websockets.

    Returns:
        The requirements, sorted, and a sentence about each distribution that can't be read.

    """
    found: set[Demand] = set()
    unreadable = []
    seen = set()
    for distribution in distributions():
        try:
            name = str(distribution.metadata["Name"])
            if canonicalize_name(name) in seen:
                continue  # hidden by one that comes earlier on sys.path
            seen.add(canonicalize_name(name))
            for text in texts(name, distribution):
                try:
                    found.update(parse(name, distribution, text, installed))
                except InvalidRequirement:  # as old setuptools let them through
                    unreadable.append(f"{name} {distribution.version}: {text}, which can't be read")
        except Exception as exc:  # whatever somebody else's metadata do to their parser
            where = getattr(distribution, "_path", distribution)
            unreadable.append(f"{where}, which can't be read ({type(exc).__name__})")
    return sorted(found, key=lambda demand: (demand.name, demand.text)), sorted(unreadable)


def texts(name: str, distribution: Distribution) -> list[str]:
    """
    Return the requirements of a distribution as it wrote them; of websockets, its repository.

    What was installed from a file says nothing: a wheelhouse and conda leave an address, too.

    """
    if canonicalize_name(name) == OURS:
        return []
    if canonicalize_name(name) == "websockets":
        direct_url = json.loads(distribution.read_text("direct_url.json") or "{}")
        return [f"websockets @ {direct_url['url']}"] if "vcs_info" in direct_url else []
    return distribution.requires or []


def parse(name: str, distribution: Distribution, text: str, installed: str) -> Iterator[Demand]:
    """Yield what a requirement demands of websockets, if that is what it is about."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        if re.match(r"websockets\b(?!-)", text, re.IGNORECASE):
            raise
        return
    if canonicalize_name(requirement.name) != "websockets":
        return
    demand = Demand(name, distribution.version, requirement, text)
    extras = distribution.metadata.get_all("Provides-Extra") or []
    if applies(requirement, "") or (
        demand.allows(installed) and any(applies(requirement, extra) for extra in extras)
    ):
        yield demand


def applies(requirement: Requirement, extra: str) -> bool:
    """Tell whether a requirement holds on this machine, with an extra of its distribution."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
