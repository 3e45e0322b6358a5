"""What there is to do in this project: ``nox --list``."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox
from packaging.version import Version  # nox needs it, too

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = [
    "lint",
    "tests",
    "pythons",
    "wrapts",
    "coverage",
    "package",
    "quick_sdks",
    "faults",
    "soak",
    "quick_schedules",
]

# A new release of websockets is one word here. The newest is the reference; clean are those
# without any of the flaws.
FLAWED = ["11.0.1", "11.0.3", "12.0", "13.0.1", "13.1", "14.0", "14.1", "15.0.1"]
CLEAN = ["14.2", "16.1.1", "17.4"]
RELEASES = FLAWED + CLEAN
NEWEST = CLEAN[-1]

# One each of what is under test: a release with the flaws of one age of websockets.
OF_EACH_AGE = ["11.0.3", "13.0.1", "14.1", "15.0.1"]

# The tests wait more than they compute.
IN_PARALLEL = ["pytest", "--numprocesses=4", "--quiet"]


def installed_pythons() -> list[str]:
    """Return the versions from 3.9 on for which this machine has an interpreter, pyenv's too."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [*os.get_exec_path(), *map(str, sorted(pyenv.glob("versions/*/bin")))]
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys(folders))
    os.environ["UV_PYTHON_DOWNLOADS"] = "never"
    versions = [f"3.{minor}" for minor in range(9, 20)]
    return [v for v in versions if any(works(folder, f"python{v}") for folder in folders)]


def works(folder: str, name: str) -> bool:
    """Tell whether there is such an interpreter, not just a shim that finds none."""
    path = shutil.which(name, path=folder)
    return path is not None and not subprocess.run([path, "-c", ""], capture_output=True).returncode


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style and the types."""
    session.install("-e", ".[lint,test]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
@nox.parametrize("websockets", RELEASES)
def tests(session: nox.Session, websockets: str) -> None:
    """Run the suite: the shim at work where there are flaws, hands off where there are none."""
    session.install("-e", ".[test]", "gevent", "pytest-xdist")
    session.install(f"websockets=={websockets}")
    session.run(*IN_PARALLEL, *session.posargs)


@nox.session(python=installed_pythons())
def pythons(session: nox.Session) -> None:
    """Run the suite on every Python that there is."""
    session.install("-e", ".[test]", "pytest-xdist")
    session.run(*IN_PARALLEL, *session.posargs)


@nox.session(python="pypy3")
def pypy(session: nox.Session) -> None:
    """Run the tests of the application layer on PyPy, which collects garbage later."""
    session.install("cryptography<44", "--only-binary", "cryptography")  # has wheels for PyPy
    session.install("-e", ".[test]", "pytest-xdist")
    session.run(*IN_PARALLEL, "tests/resilience", *session.posargs)


@nox.session
@nox.parametrize("wrapt", ["1.15.0", "1.17.3"])
def wrapts(session: nox.Session, wrapt: str) -> None:
    """Run the suite with the oldest wrapt that pyproject.toml allows, and the last 1.x."""
    session.install("-e", ".[test]", "pytest-xdist", f"wrapt=={wrapt}")
    session.run(*IN_PARALLEL, *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure what the suite covers, on the releases that need each of the repairs."""
    session.install("-e", ".[test]", "coverage>=7.10", "gevent", "pytest-xdist")
    session.run("coverage", "erase")
    for websockets in ("11.0.1", "13.0.1", "14.1", "15.0.1", NEWEST):
        session.install(f"websockets=={websockets}")
        session.run("coverage", "run", "-m", *IN_PARALLEL, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel and the sdist, and use them as README.md says."""
    session.install("-e", ".[test]", "build", "twine", "check-wheel-contents", "pytest-xdist")
    # Not in create_tmp(), whose folder the tests would use too: below a folder that is hidden, as
    # .nox is, pyright sees no types.
    dist = Path(session.virtualenv.location, "dist").absolute()
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    session.run("check-wheel-contents", str(dist))
    session.run(*IN_PARALLEL, "tests/package", *session.posargs, env={"DIST": str(dist)})


@nox.session
def faults(session: nox.Session) -> None:
    """Break connections in every way, on the releases given or on all; the newest is beside."""
    session.install("-e", ".[test]")
    folder = put_releases(session, RELEASES)
    session.run("python", "-m", "tests.faults", "--releases", folder, *session.posargs)


@nox.session
@nox.parametrize("websockets", OF_EACH_AGE)
def soak(session: nox.Session, websockets: str) -> None:
    """Kill two thousand connections at random moments, or as many as are given."""
    session.install("-e", ".[test]")
    session.install(f"websockets=={websockets}")
    session.run("python", "-m", "tests.faults.soak", *session.posargs)


@nox.session
@nox.parametrize("websockets", FLAWED)
def quick_schedules(session: nox.Session, websockets: str) -> None:
    """Explore those thread schedules that are exhausted in seconds."""
    explore_schedules(session, websockets, "--quick")


@nox.session
@nox.parametrize("websockets", FLAWED)
def schedules(session: nox.Session, websockets: str) -> None:
    """Explore all thread schedules, up to half an hour a release; too long for CI."""
    explore_schedules(session, websockets, *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure what the shim costs, some fifteen minutes; timings are no tests."""
    session.install(".[test]", "pyperf")
    folder = put_releases(session, [*OF_EACH_AGE, "13.1", NEWEST])
    session.run("python", "-m", "tests.benchmarks", "--releases", folder, *session.posargs)


def explore_schedules(session: nox.Session, websockets: str, *arguments: str) -> None:
    """Compare the shim with upstream's cures and with the next clean release."""
    session.install("-e", ".[test]", "frontrun==0.7.0")
    session.install(f"websockets=={websockets}")
    clean = next(release for release in CLEAN if Version(release) > Version(websockets))
    folder = str(Path(put_releases(session, [clean]), clean))
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
    """Drive real SDKs into their websockets' flaws, some four minutes; arguments name them."""
    session.install("uv")
    session.run("python", "-m", "tests.sdks", *session.posargs)


@nox.session
def quick_sdks(session: nox.Session) -> None:
    """Drive three of the quickest SDKs."""
    session.install("uv")
    session.run("python", "-m", "tests.sdks", "--quick")


@nox.session
def release(session: nox.Session) -> None:
    """Build what is published, check it, and verify it on each affected release."""
    session.install("build", "twine", "uv")
    session.run("python", "-m", "tests.release", *FLAWED)
