"""Switching the shim on and off for a whole environment."""

from __future__ import annotations

import os
import pkgutil
import re
import site
import subprocess
import sys
from pathlib import Path

import pytest

from websockets_closefix._commands import enable as _site
from websockets_closefix._commands.refused import Refused

from ..conftest import affected
from ..environments import CURED, LEAKED, PACKAGES

NAMES = ["websockets_closefix.pth", "websockets_closefix.start"]


@affected
def test_a_third_party_program_is_cured(environment):
    assert environment.meets_the_race() == LEAKED
    environment.command("enable")
    assert environment.meets_the_race() == CURED
    environment.command("disable")
    assert environment.meets_the_race() == LEAKED


def test_enable_says_what_it_wrote_and_disable_what_it_removed(environment):
    paths = [str(environment.site_packages / name) for name in NAMES]
    lines = environment.command("enable").stdout.splitlines()
    assert lines == [*(f"wrote {path}" for path in paths), lines[-1]]
    assert lines[-1] == "every new Python process of this environment is covered"
    assert environment.startup_files() == NAMES
    assert environment.command("disable").stdout.splitlines() == [f"removed {p}" for p in paths]
    assert environment.startup_files() == []


def test_both_are_idempotent(environment):
    environment.command("enable")
    before = [(environment.site_packages / name).stat().st_mtime_ns for name in NAMES]
    lines = environment.command("enable").stdout.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["found", "found"]
    assert [(environment.site_packages / name).stat().st_mtime_ns for name in NAMES] == before
    environment.command("disable")
    [line] = environment.command("disable").stdout.splitlines()
    assert line == f"nothing to remove from {environment.site_packages}"


def test_what_an_older_release_wrote_is_brought_up_to_date(environment):
    pth = environment.site_packages / NAMES[0]
    pth.write_text(f"{_site.MARK}import websockets_closefix\n")
    environment.command("enable")
    assert pth.read_text() == _site.FILES[NAMES[0]]


@pytest.mark.parametrize("command", ["enable", "disable"])
@pytest.mark.parametrize("name", NAMES)
def test_files_of_somebody_else_are_left_alone(environment, command, name):
    path = environment.site_packages / name
    path.write_text("# mine\n")
    result = environment.command(command, code=1)
    [line] = result.stderr.splitlines()
    assert line.startswith(f"websockets-closefix: {path} wasn't written by websockets-closefix")
    assert environment.startup_files() == [name]
    assert path.read_text() == "# mine\n"


def test_an_interpreter_of_a_user(environment, tmp_path):
    """Outside a virtual environment, which doesn't read the user's site-packages."""
    python = Path(environment.python).resolve()
    environ = {
        "PYTHONUSERBASE": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(PACKAGES),
    }
    outside = environment._replace(python=str(python))
    lines = outside.command("enable", "--user", **environ).stdout.splitlines()
    pth, start = (Path(line.partition(" ")[2]) for line in lines[:2])
    assert [pth.name, start.name] == NAMES
    assert tmp_path in pth.parents
    program = "import sys; print('websockets_closefix' in sys.modules)"
    assert outside.run("-c", program, **environ).stdout == "True\n"
    outside.command("disable", "--user", **environ)
    assert list(pth.parent.iterdir()) == []
    assert outside.run("-c", program, **environ).stdout == "False\n"


def test_a_virtual_environment_ignores_the_folder_of_the_user(environment):
    result = environment.command("enable", "--user", code=1)
    [line] = result.stderr.splitlines()
    assert "leave --user out" in line


@pytest.mark.parametrize("command", [_site.enable, _site.disable])
def test_a_folder_that_cannot_be_written(command, tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "site-packages"
    with pytest.raises(Refused) as refused:
        command(folder)
    assert str(folder) in str(refused.value)
    assert "sitecustomize.py" in str(refused.value)
    assert "websockets_closefix run" in str(refused.value)


@pytest.mark.parametrize("command", [_site.enable, _site.disable])
def test_a_folder_of_somebody_else(command, tmp_path):
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # nobody can keep root from writing
    try:
        with pytest.raises(Refused) as refused:
            command(tmp_path / "site-packages")
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
    assert f"{tmp_path / 'site-packages'} can't be written (Permission denied)" in str(
        refused.value
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", [{}, {"websockets_closefix.pth": f"{_site.MARK}import old\n"}])
@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), Refused), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_nothing_is_written_by_halves(monkeypatch, tmp_path, before, error, raised):
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    replace = os.replace

    def fail_at_the_second(draft, path):
        if path.name == NAMES[1]:
            raise error
        replace(draft, path)

    monkeypatch.setattr(os, "replace", fail_at_the_second)
    with pytest.raises(raised):
        _site.enable(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_an_environment_that_does_not_have_the_package(environment, monkeypatch):
    """As from a checkout that was never installed: this process has it, new ones don't."""
    environment.install([])
    monkeypatch.setattr(sys, "executable", environment.python)
    with pytest.raises(Refused, match="install websockets-closefix into that environment"):
        _site.enable(environment.site_packages)
    assert environment.startup_files() == []


def test_uninstalling_without_disabling(environment):
    environment.command("enable")
    environment.install([])
    result = environment.run("-c", "print('started')")
    assert (result.stdout, result.stderr) == ("started\n", "")


def test_start_file_is_what_pep_829_wants():
    """Parsed as the PEP specifies: comments, and pkg.mod:callable, which is called."""
    lines = _site.FILES[NAMES[1]].splitlines()
    [entry_point] = [line for line in lines if line.strip() and not line.startswith("#")]
    assert re.fullmatch(r"[\w.]+:[\w.]+", entry_point)
    program = (
        "import pkgutil, sys\n"
        f"status = pkgutil.resolve_name({entry_point!r})()\n"
        "print(status.state)"
    )
    environ = {**os.environ, "PYTHONPATH": PACKAGES[1]}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environ, stdout=subprocess.PIPE, text=True, check=True
    )
    assert result.stdout == "armed\n"
    assert pkgutil.resolve_name(entry_point).__name__ == "apply"


@pytest.mark.skipif(sys.version_info < (3, 15), reason="needs a Python that reads .start files")
def test_start_file_for_real(environment):
    environment.command("enable")
    (environment.site_packages / NAMES[0]).unlink()
    assert '"start"' in environment.command("status", "--json").stdout


def test_pth_file_is_one_import_line():
    """Its other lines are comments: a line that is neither would be added to sys.path."""
    [line] = [line for line in _site.FILES[NAMES[0]].splitlines() if not line.startswith("#")]
    assert line.startswith("import ")


def test_folder_of_the_user(monkeypatch):
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    assert _site.site_packages(user=True) == Path(site.getusersitepackages())
