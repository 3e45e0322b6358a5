"""
The wheel, installed from where users would have it from, and what README.md says of that.

``nox -s package`` builds it, says in DIST where it is, and runs these tests.

"""

from __future__ import annotations

import os
import re
import shutil
import sys
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

import websockets_closefix

from ..conftest import ROOT
from ..environments import CURED, LEAKED, VENDOR, run
from ..test_readme import blocks

pytestmark = [
    pytest.mark.skipif("DIST" not in os.environ, reason="nox -s package builds what is installed"),
    pytest.mark.timeout(300),
]

INSTALL_FROM_CHECKOUT, ENABLE, RUN, REMOVE, TEST = blocks("sh")


class Environment(NamedTuple):
    """What a user has: an interpreter with pip, and a shell in which it is the python."""

    folder: Path
    working_directory: Path

    def shell(self, commands, code=0):
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        return run(
            ["sh", "-e", "-c", commands],
            code=code,
            timeout=280,
            cwd=self.working_directory,
            env={
                **inherited,
                "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "PIP_FIND_LINKS": os.environ["DIST"],
                "PIP_QUIET": "1",
                "VIRTUAL_ENV": str(self.folder),
            },
        )

    def meets_the_race(self):
        return self.shell(f"python {VENDOR}").stdout.splitlines()


@pytest.fixture
def environment(tmp_path):
    venv.create(tmp_path / "venv", symlinks=True, with_pip=True)
    (tmp_path / "work").mkdir()
    return Environment(tmp_path / "venv", tmp_path / "work")


@pytest.fixture(scope="module")
def dist():
    return Path(os.environ["DIST"])


@pytest.fixture
def checkout(environment):
    """A fresh clone, as the README's commands find it."""
    shutil.rmtree(environment.working_directory)
    ignored = shutil.ignore_patterns(".git", ".nox", ".venv", ".*_cache", "__pycache__")
    shutil.copytree(ROOT, environment.working_directory, ignore=ignored)
    return environment


def test_seeing_it_happen_from_a_checkout(checkout):
    output = checkout.shell(INSTALL_FROM_CHECKOUT).stdout
    assert "AssertionError" in output
    assert "hangs" in output
    assert "every connection ended properly with the shim" in output


def test_the_test_command_makes_its_own_environment(checkout):
    """It is the whole suite, of which this is a part: here it only has to begin."""
    output = checkout.shell(f"{TEST.strip()} --collect-only -q tests/test_detect.py").stdout
    assert "tests collected" in output


def test_enabling_and_uninstalling(environment):
    environment.shell("python -m pip install websockets==14.1")
    assert environment.meets_the_race() == LEAKED
    lines = environment.shell(ENABLE).stdout.splitlines()
    assert [line for line in lines if line.startswith("applied: ")]
    assert [line for line in lines if "switched on" in line]
    assert environment.meets_the_race() == CURED
    assert "--directory" in environment.shell(RUN).stdout
    environment.shell(REMOVE)
    assert environment.meets_the_race() == LEAKED
    assert environment.shell("python -c pass").stderr == ""
    assert not list(environment.folder.rglob("websockets_closefix*"))


def test_uninstalling_without_disabling(environment):
    environment.shell(ENABLE)
    environment.shell("python -m pip uninstall --yes websockets-closefix")
    result = environment.shell("python -c 'print(1)'")
    assert result.stdout == "1\n"
    assert result.stderr == ""


def test_console_script(environment):
    environment.shell("python -m pip install websockets-closefix")
    version = environment.shell("websockets-closefix --version").stdout
    assert version == f"{websockets_closefix.__version__}\n"
    environment.shell("websockets-closefix run", code=2)


def test_in_a_container(environment, tmp_path):
    """The Dockerfile's lines, with a vendor's SDK that pins websockets."""
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    [dockerfile] = blocks("dockerfile", page)
    sdk = tmp_path / "sdk"
    sdk.mkdir()
    shutil.copy(VENDOR, sdk / "vendor_sdk.py")
    (sdk / "pyproject.toml").write_text(
        "[project]\n"
        'name = "vendor-sdk"\n'
        'version = "1.2"\n'
        'dependencies = ["websockets>=13,<14.2"]\n'
        "[build-system]\n"
        'requires = ["hatchling"]\n'
        'build-backend = "hatchling.build"\n'
        "[tool.hatch.build]\n"
        'include = ["vendor_sdk.py"]\n'
    )
    (environment.working_directory / "requirements.txt").write_text(f"{sdk}\n")
    for command in re.findall(r"^RUN (.*)$", dockerfile, re.MULTILINE):
        output = environment.shell(command).stdout
    assert "\napplied: " in output
    [arguments] = re.findall(r'^CMD \["python", "-m", "(\w+)"\]$', dockerfile, re.MULTILINE)
    reproductions = ROOT / "websockets_closefix"
    assert environment.shell(f"python -m {arguments} {reproductions}").stdout.splitlines() == CURED


def test_types_as_seen_from_outside(environment, tmp_path):
    environment.shell(
        "python -m pip install websockets==14.1 websockets-closefix mypy pyright[nodejs]"
    )
    program = Path(__file__).with_name("typed_program.py")
    environment.shell(f"mypy --strict {program}")
    environment.shell(f"pyright {program}")
    environment.shell("pyright --verifytypes websockets_closefix --ignoreexternal")
    (tmp_path / "work" / "wrong.py").write_text(
        "import websockets_closefix\n\nnumber: int = websockets_closefix.status().state\n"
    )
    assert "error" in environment.shell("mypy wrong.py", code=1).stdout
    assert "error" in environment.shell("pyright wrong.py", code=1).stdout
    (tmp_path / "work" / "unknown.py").write_text("from websockets_closefix import aply, Statuss\n")
    for checker in ("mypy", "pyright"):
        output = environment.shell(f"{checker} unknown.py", code=1).stdout
        assert "aply" in output
        assert "Statuss" in output


def test_the_test_command_is_what_ci_runs():
    assert TEST.strip() in (ROOT / ".ci" / "run").read_text().splitlines()


def test_what_is_in_the_wheel(dist):
    [wheel] = dist.glob("*.whl")
    names = run([sys.executable, "-m", "zipfile", "--list", wheel]).stdout
    assert "websockets_closefix/py.typed" in names
    assert "websockets_closefix/_bootstrap/sitecustomize.py" in names
    assert "tests/" not in names
