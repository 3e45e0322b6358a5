"""What there is to do in this project: ``nox --list``."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "package", "tests", "oldest_wrapt", "faults", "soak"]

AFFECTED = ["13.1", "14.0", "14.1"]
UNAFFECTED = ["11.0.3", "12.0", "13.0.1", "14.2", "15.0.1", "16.1.1", "17.4"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style and the types."""
    session.install("-e", ".[lint,test]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel and the sdist, and use them as README.md says."""
    session.install("-e", ".[test]", "build", "twine", "check-wheel-contents")
    dist = Path(session.create_tmp(), "dist").absolute()
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist))
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    session.run("check-wheel-contents", str(dist))
    session.run("pytest", "tests/package", *session.posargs, env={"DIST": str(dist)})


@nox.session
@nox.parametrize("websockets", AFFECTED + UNAFFECTED)
def tests(session: nox.Session, websockets: str) -> None:
    """Run the suite: the shim at work on affected releases, hands off on the others."""
    session.install("-e", ".[test]", "gevent")
    session.install(f"websockets=={websockets}")
    session.run("pytest", *session.posargs)


@nox.session
def oldest_wrapt(session: nox.Session) -> None:
    """Run the suite with the oldest wrapt that pyproject.toml allows."""
    session.install("-e", ".[test]", "wrapt==1.15.0")
    session.run("pytest", *session.posargs)


@nox.session
@nox.parametrize("websockets", AFFECTED)
def faults(session: nox.Session, websockets: str) -> None:
    """Break connections in every way; the first fixed release is the yardstick."""
    session.install("-e", ".[test]", f"websockets=={websockets}")
    session.run("python", "-m", "tests.faults", "--fixed", install_fixed(session))


@nox.session
def soak(session: nox.Session) -> None:
    """Kill ten thousand connections at random moments."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.faults.soak")


@nox.session
@nox.parametrize("websockets", AFFECTED)
def schedules(session: nox.Session, websockets: str) -> None:
    """Explore thread schedules, some twenty minutes a release; too long for CI."""
    session.install("-e", ".[test]", "frontrun==0.7.0", f"websockets=={websockets}")
    fixed = install_fixed(session)
    session.run("python", "-m", "tests.schedules", "--fixed", fixed, *session.posargs)


def install_fixed(session: nox.Session) -> str:
    """Put the first fixed release into a folder of its own, beside the affected one."""
    folder = Path(session.create_tmp(), "fixed").absolute()
    session.install("--target", str(folder), "--no-deps", "websockets==14.2")
    return str(folder)
