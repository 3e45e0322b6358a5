"""A virtual environment to be switched on and off, with the packages of the running one."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

import websockets_closefix
from websockets_closefix._cli import enable

WINDOWS = os.name == "nt"
VENDOR = Path(__file__).with_name("vendor.py")
CURED = ["ConnectionClosedError NoneType", "NoneType NoneType"]
LEAKED = ["AssertionError NoneType", "NoneType AssertionError"]
PACKAGES = [sysconfig.get_path("purelib"), str(Path(websockets_closefix.__file__).parents[1])]


def run(command, *, code=0, timeout=30, **kwargs):
    """Run a command to its end, which has to be that exit code."""
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, **kwargs
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result


def python_of(folder):
    """Return the path of the interpreter of a virtual environment."""
    return Path(folder, "Scripts", "python.exe") if WINDOWS else Path(folder, "bin", "python")


def create(folder, **options):
    """Create a virtual environment, without pip, which takes seconds."""
    venv.create(folder, symlinks=not WINDOWS, with_pip=False, **options)
    python = python_of(folder)
    if WINDOWS and not python.exists():
        pytest.skip("this Python has no launcher that venv could copy, as the one for Wine")
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Environment(str(python), Path(run([python, "-c", program]).stdout.strip()))


class Environment(NamedTuple):
    python: str
    site_packages: Path

    def run(self, *arguments, code=0, **environ):
        """Run its interpreter, somewhere where nothing can be imported from."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        return run(
            [self.python, *map(str, arguments)],
            code=code,
            cwd=os.path.abspath(os.sep),
            env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environ},
        )

    def command(self, *arguments, **kwargs):
        return self.run("-m", "websockets_closefix", *arguments, **kwargs)

    def enable(self):
        """Switch the shim on, for tests that aren't about the command: that starts two Pythons."""
        enable.put(self.site_packages, enable.FILES)

    def install(self, folders):
        """Make what is in these folders importable, and nothing else."""
        (self.site_packages / "a.pth").write_text("".join(f"{folder}\n" for folder in folders))
        # Where coverage is measured, it is to be measured here too.
        for measuring in Path(PACKAGES[0]).glob("*_coverage.pth"):
            shutil.copy(measuring, self.site_packages / "b_coverage.pth")

    def meets_the_race(self, *switch, **environ):
        """Return what comes out of a program that meets the race."""
        return self.run(*switch, VENDOR, **environ).stdout.splitlines()

    def startup_files(self):
        return sorted(path.name for path in self.site_packages.glob("websockets_closefix*"))


def link(folder, *packages):
    """Have these packages, and no others, in a folder, side by side as pip installs them."""
    folder.mkdir(exist_ok=True)
    for package in packages:
        source = Path(importlib.import_module(package).__file__).parent
        if WINDOWS:  # where not everybody may make links
            shutil.copytree(source, folder / package)
        else:
            (folder / package).symlink_to(source, target_is_directory=True)
    return folder


@pytest.fixture(scope="session")
def environment_of_the_session(tmp_path_factory):
    return create(tmp_path_factory.mktemp("environment"))


@pytest.fixture
def environment(environment_of_the_session):
    environment = environment_of_the_session
    environment.install(PACKAGES)
    yield environment
    for path in environment.site_packages.iterdir():
        if not path.is_dir():
            path.unlink()
