"""Who holds websockets back: the installed distributions that don't want a fixed release."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

FIXED_RELEASES = ["14.2", "15.0", "15.0.1", "16.0", "17.0", "9999"]
"""
Releases that a requirement on websockets can allow; the last stands for those that are to come.

A requirement that allows none of them may still name a later one itself, as ``==18.1`` does.

"""

OURS = "websockets-closefix"  # whose extra for its own tests wants 14.1


def holding_back(first_fixed: str) -> list[dict[str, str]] | None:
    """
    Find the installed distributions whose requirements keep websockets below a release.

    A requirement that belongs to an extra counts, since metadata don't tell whether the extra was
    asked for; a requirement for other Pythons or systems than this one doesn't.

    Args:
        first_fixed: The release.

    Returns:
        For each such requirement the ``name`` and the ``version`` of the distribution and the
        ``requirement`` as it wrote it, sorted by name; :obj:`None` where packaging isn't
        installed, without which requirements can't be read.

    """
    try:
        import packaging.requirements  # noqa: F401
    except ImportError:
        return None
    found = {
        (name, distribution.version, text)
        for distribution in distributions()
        if (name := str(distribution.metadata["Name"])) != OURS
        for text, requirement in requirements_on_websockets(distribution)
        if not allows(requirement.specifier, first_fixed)
    }
    return [
        {"name": name, "version": version, "requirement": text}
        for name, version, text in sorted(found)
    ]


def requirements_on_websockets(distribution: Distribution) -> Iterator[tuple[str, Requirement]]:
    """Yield the requirements on websockets that apply here, as they were written and parsed."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    for text in distribution.requires or []:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # as old setuptools let them through
            continue
        if canonicalize_name(requirement.name) == "websockets" and applies(
            requirement, distribution
        ):
            yield text, requirement


def applies(requirement: Requirement, distribution: Distribution) -> bool:
    """Tell whether a requirement holds on this machine, with any extra of its distribution."""
    extras = distribution.metadata.get_all("Provides-Extra") or []
    return requirement.marker is None or any(
        requirement.marker.evaluate({"extra": extra}) for extra in ["", *extras]
    )


def allows(specifier: SpecifierSet, first_fixed: str) -> bool:
    """Tell whether a specifier allows ``first_fixed`` or a later release."""
    from packaging.version import Version

    named = [each.version.removesuffix(".*") for each in specifier if each.operator != "==="]
    return any(
        Version(version) >= Version(first_fixed) and specifier.contains(version, prereleases=True)
        for version in FIXED_RELEASES + named
    )
