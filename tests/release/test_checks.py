from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from ..conftest import ROOT
from . import checks

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

CHANGELOG = """# Changelog

## 1.2.0 - 2026-11-23

### Added

## 1.1.0

## 1.0.0 - soon
"""

PYPROJECT = """
[project.urls]
"Upstream issue 1558" = "https://example.com/upstream/1558"

Repository = "https://example.com/project"

[project.scripts]
"""


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout that can be published."""
    (tmp_path / checks.VERSION_FILE).parent.mkdir()
    (tmp_path / checks.VERSION_FILE).write_text('"""Docstring."""\n\n__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    git(tmp_path, *author, "commit", "--quiet", "--no-gpg-sign", "--message", "all")
    return tmp_path


def git(folder, *arguments):
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, timeout=20)


def test_a_checkout_that_can_be_published(checkout):
    assert checks.refusals(checkout) == []


def test_a_change_that_is_not_committed(checkout):
    with (checkout / "CHANGELOG.md").open("a") as changelog:
        changelog.write("\n")
    assert checks.refusals(checkout) == ["the tree is dirty: commit or remove CHANGELOG.md"]


def test_a_file_that_is_not_committed(checkout):
    (checkout / "secret.py").touch()
    assert checks.refusals(checkout) == ["the tree is dirty: commit or remove secret.py"]


def test_a_folder_that_is_no_checkout(tmp_path):
    assert checks.uncommitted(tmp_path) == [f"{tmp_path} isn't a git checkout: release from one"]


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("1.2.0", None),
        ("1.2", "no entry for 1.2:"),
        ("1.3.0", "no entry for 1.3.0:"),
        ("1.1.0", "entry for 1.1.0 has no date:"),
        ("1.0.0", "entry for 1.0.0 has no date:"),
    ],
)
def test_the_changelog(version, reason):
    reasons = checks.undated(CHANGELOG, version)
    assert len(reasons) == (reason is not None)
    assert not reasons or (reason in reasons[0] and f"'## {version} - YYYY-MM-DD'" in reasons[0])


@pytest.mark.parametrize(
    "pyproject",
    [
        PYPROJECT.replace("Repository", "Documentation"),
        PYPROJECT.replace("\nRepository", "\n[tool.other]\nRepository"),
        "",
    ],
)
def test_no_address_of_its_own(pyproject):
    [reason] = checks.homeless(pyproject)
    assert "[project.urls]" in reason


def test_names_of_sessions():
    """Every session of nox that a page or a workflow names exists."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob(".github/**/*.*")]
    named = {
        name
        for page in pages
        for name in re.findall(r"nox -(?:s|-session) \"?(\w+)", page.read_text(encoding="utf-8"))
    }
    sessions = re.findall(r"^def (\w+)\(session: nox", (ROOT / "noxfile.py").read_text(), re.M)
    assert named - set(sessions) == set()
