"""What keeps a checkout from being published; each check returns sentences, none if all is well."""

from __future__ import annotations

import datetime
import re
import subprocess
from pathlib import Path

VERSION_FILE = Path("websockets_closefix", "__init__.py")


def refusals(checkout: Path) -> list[str]:
    """Return why a checkout must not be published."""
    changelog = (checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    pyproject = (checkout / "pyproject.toml").read_text(encoding="utf-8")
    return uncommitted(checkout) + undated(changelog, version(checkout)) + homeless(pyproject)


def uncommitted(checkout: Path) -> list[str]:
    """Refuse a tree with changes or files that aren't committed, or that isn't under git at all."""
    status = subprocess.run(
        ["git", "-C", str(checkout), "status", "--porcelain"],
        capture_output=True,
        text=True,
        check=False,
    )
    if status.returncode:
        return [f"{checkout} isn't a git checkout: release from one"]
    files = [line[3:] for line in status.stdout.splitlines()]
    return [f"the tree is dirty: commit or remove {', '.join(files)}"] if files else []


def undated(changelog: str, version: str) -> list[str]:
    """Refuse a version that the changelog doesn't know, or that it doesn't give a date."""
    headings = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    entries = [heading for heading in headings if heading.split()[:1] == [version]]
    wanted = f"'## {version} - YYYY-MM-DD'"
    if not entries:
        return [f"CHANGELOG.md has no entry for {version}: add one under {wanted}"]
    if not any(is_date(entry.partition(" - ")[2]) for entry in entries):
        return [f"CHANGELOG.md's entry for {version} has no date: write {wanted}"]
    return []


def homeless(pyproject: str) -> list[str]:
    """Refuse a project that names no address of its own, where its users could report a bug."""
    urls = pyproject.partition("\n[project.urls]\n")[2].partition("\n[")[0]
    if re.search(r"^(Homepage|Repository|Source) = ", urls, re.MULTILINE):
        return []
    return ["pyproject.toml's [project.urls] has no address of the project's own: add Repository"]


def is_date(text: str) -> bool:
    """Tell whether a text is a date, as in 2026-11-23."""
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def version(checkout: Path) -> str:
    """Return the version that would be published, read as the build reads it."""
    source = (checkout / VERSION_FILE).read_text(encoding="utf-8")
    [found] = re.findall(r'^__version__ = "(.*)"$', source, re.MULTILINE)
    return str(found)
