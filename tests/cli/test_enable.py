"""Switching the shim on and off for a whole environment."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import site
import stat
import sys
from pathlib import Path

import pytest

from websockets_closefix._cli import enable as _enable

from ..builds import write_build
from ..conftest import affected, has_some
from ..environments import CURED, LEAKED, PACKAGES, WINDOWS, create, link

MODULE, PTH, START = NAMES = [
    "websockets_closefix_start.py",
    "websockets_closefix.pth",
    "websockets_closefix.start",
]
IS_COVERED = "import sys; print('websockets_closefix' in sys.modules)"
HAS_IT = "every new Python process of this environment has the shim"

posix = pytest.mark.skipif(WINDOWS, reason="there is no such thing on Windows")


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
    assert lines[:3] == [f"wrote {path}" for path in paths]
    assert lines[3] == HAS_IT
    assert environment.startup_files() == sorted(NAMES)
    assert environment.command("disable").stdout.splitlines() == [f"removed {p}" for p in paths]
    assert environment.startup_files() == []


def test_where_nothing_has_to_be_fixed(environment, tmp_path):
    build = write_build(tmp_path, "10.4", "")
    (build / "websockets" / "sync" / "connection.py").unlink()
    environment.install([build, *PACKAGES])
    lines = environment.command("enable").stdout.splitlines()
    assert lines[3:] == [
        HAS_IT,
        "not-affected: websockets 10.4 has none of the bugs that are fixed here",
    ]


def test_both_are_idempotent(environment):
    environment.enable()
    before = [(environment.site_packages / name).stat().st_mtime_ns for name in NAMES]
    lines = environment.command("enable").stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["found", "found", "found"]
    assert [(environment.site_packages / name).stat().st_mtime_ns for name in NAMES] == before
    environment.command("disable")
    [line] = environment.command("disable").stdout.splitlines()
    assert line == f"nothing to remove from {environment.site_packages}"


def test_what_an_older_release_wrote_is_brought_up_to_date(environment):
    pth = environment.site_packages / PTH
    pth.write_text(f"{_enable.MARK}import websockets_closefix\n")
    environment.command("enable")
    assert pth.read_text() == _enable.FILES[PTH]


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


@pytest.fixture
def outside(environment):
    """Its interpreter outside the virtual environment, which doesn't read the user's folder."""
    base = sys._base_executable if WINDOWS else os.path.realpath(environment.python)
    return environment._replace(python=base)


def test_of_a_user(outside, tmp_path):
    environ = {"PYTHONUSERBASE": str(tmp_path)}
    folder = Path(outside.run("-c", "import site; print(site.USER_SITE)", **environ).stdout.strip())
    folder.mkdir(parents=True)
    (folder / "a.pth").write_text("".join(f"{package}\n" for package in PACKAGES))
    lines = outside.command("enable", "--user", **environ).stdout.splitlines()
    assert lines[:3] == [f"wrote {folder / name}" for name in NAMES]
    assert outside.run("-c", IS_COVERED, **environ).stdout == "True\n"
    outside.command("disable", "--user", **environ)
    assert [path.name for path in folder.iterdir()] == ["a.pth"]
    assert outside.run("-c", IS_COVERED, **environ).stdout == "False\n"


def test_of_a_user_in_a_virtual_environment_that_reads_the_users_folder(tmp_path):
    system = create(tmp_path / "system", system_site_packages=True)
    link(system.site_packages, "websockets_closefix", "websockets", "wrapt")
    environ = {"PYTHONUSERBASE": str(tmp_path)}
    lines = system.command("enable", "--user", **environ).stdout.splitlines()
    assert lines[3] == HAS_IT.replace("environment has", "environment that this user starts has")
    assert system.run("-c", IS_COVERED, **environ).stdout == "True\n"
    found = system.command("status", "--json", **environ).stdout
    assert json.loads(found)["switched_on_by"] == "enable"
    path = "import sys; print(sys.path)"
    before = system.run("-s", "-c", path, **environ).stdout
    user_site = str(Path(lines[0].partition(" ")[2]).parent)
    assert system.run("-c", path, **environ).stdout.replace(f"{user_site!r}, ", "") == before


def test_a_virtual_environment_ignores_the_folder_of_the_user(environment):
    result = environment.command("enable", "--user", code=1)
    [line] = result.stderr.splitlines()
    assert "as in a virtual environment made without --system-site-packages" in line
    assert "leave that or --user out" in line


@pytest.mark.parametrize(
    "command",
    # On Windows there is no such folder, then, and nothing to remove.
    [_enable.enable, pytest.param(_enable.disable, marks=posix)],
)
def test_a_folder_that_cannot_be_written(command, tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "site-packages"
    with pytest.raises(SystemExit) as refused:
        command(folder)
    assert f"{folder} can't be written (" in refused.value.code
    assert_names_what_works(refused.value.code)


def assert_names_what_works(line):
    """Where there is no folder to write to, or none that would do, as in AWS Lambda's layout."""
    assert "import websockets_closefix in the program" in line
    assert "in a sitecustomize.py on PYTHONPATH" in line
    assert "`python -m websockets_closefix run COMMAND`" in line


@posix
@pytest.mark.parametrize("command", [_enable.enable, _enable.disable])
def test_a_folder_of_somebody_else(command, tmp_path):
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # nobody can keep root from writing
    try:
        with pytest.raises(SystemExit) as refused:
            command(tmp_path / "site-packages")
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
    assert f"{tmp_path / 'site-packages'} can't be written (Permission" in refused.value.code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", [{}, {"websockets_closefix.pth": f"{_enable.MARK}import old\n"}])
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(28, "No space left on device"), SystemExit),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_nothing_is_written_by_halves(monkeypatch, tmp_path, before, error, raised):
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    replace = os.replace

    def fail_at_the_second(draft, path):
        if path.name == START:
            raise error
        replace(draft, path)

    monkeypatch.setattr(os, "replace", fail_at_the_second)
    with pytest.raises(raised):
        _enable.enable(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("path", [[], PACKAGES[1:]])
def test_an_environment_that_does_not_have_the_package(environment, path):
    """As from a checkout, or in a layer of AWS Lambda: new processes need this one's path."""
    environment.install(PACKAGES[:1])
    command = f"import sys; sys.path.append({PACKAGES[1]!r})\n"
    command += "from websockets_closefix._cli import command_line\n"
    command += "sys.exit(command_line.main(['enable']))"
    result = environment.run("-c", command, code=1, PYTHONPATH=os.pathsep.join(path))
    [line] = result.stderr.splitlines()
    assert "unless PYTHONPATH leads to it: install websockets-closefix" in line
    assert_names_what_works(line)
    assert environment.startup_files() == []


@posix
def test_files_are_readable_whatever_the_umask(environment):
    paths = [environment.site_packages / name for name in NAMES]
    before = os.umask(0o077)
    try:
        environment.enable()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o644}


@has_some
def test_switched_off_by_the_environment(environment):
    lines = environment.command("enable", WEBSOCKETS_CLOSEFIX="0").stdout.splitlines()
    assert lines[-1].startswith("disabled: switched off by WEBSOCKETS_CLOSEFIX")


@posix
def test_without_the_site_module(environment):
    """As a zipapp may be started: what it takes for its environment is the base's."""
    path = os.pathsep.join(PACKAGES)
    base = environment.run("-S", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    files = {path.name for path in Path(base.stdout.strip()).iterdir()}
    environment.run("-S", "-m", "websockets_closefix", "enable", code=1, PYTHONPATH=path)
    assert {path.name for path in Path(base.stdout.strip()).iterdir()} == files


def test_uninstalling_without_disabling(environment):
    environment.enable()
    environment.install([])
    result = environment.run("-c", "print('started')")
    assert (result.stdout, result.stderr) == ("started\n", "")


def test_a_package_that_cannot_be_read(environment, tmp_path):
    environment.enable()
    (tmp_path / "websockets_closefix.py").write_text("raise PermissionError(13, 'not for you')")
    environment.install([tmp_path])
    result = environment.run("-c", "print('started')")
    assert (result.stdout, result.stderr) == ("started\n", "")


def test_module_of_the_start_file_imports_the_package_or_does_nothing(environment):
    """On any Python: what 3.15 resolves and calls."""
    environment.enable()
    (environment.site_packages / PTH).unlink()
    (environment.site_packages / START).unlink()
    program = f"import pkgutil; pkgutil.resolve_name({start_entry()!r})()\n{IS_COVERED}"
    program += "; print(sys.path)"
    covered, path = environment.run("-c", program).stdout.splitlines()
    assert covered == "True"
    assert path == environment.run("-c", "import sys; print(sys.path)").stdout.strip()
    environment.install([])
    assert environment.run("-c", program).stdout.startswith("False\n")


def test_module_of_the_start_file_looks_in_folders_that_are_not_on_the_path_yet(
    environment, tmp_path
):
    """As those of the system, when the user's files are read."""
    environment.enable()
    environment.install([])
    folder = link(tmp_path / "system", "websockets_closefix")
    program = (
        f"import site, sys; site.getsitepackages = lambda: [{str(folder)!r}]\n"
        f"import {MODULE[:-3]} as module; before = sys.path[:]; module.arm()\n"
        "print('websockets_closefix' in sys.modules, sys.path == before)"
    )
    assert environment.run("-c", program).stdout == "True True\n"


def start_entry():
    """Parse the file as PEP 829 specifies it."""
    lines = _enable.FILES[START].splitlines()
    [entry_point] = [line for line in lines if line.strip() and not line.startswith("#")]
    assert re.fullmatch(r"[\w.]+:[\w.]+", entry_point)
    return entry_point


@pytest.mark.skipif(sys.version_info < (3, 15), reason="needs a Python that reads .start files")
def test_start_file_for_real(environment):
    environment.command("enable")
    assert environment.run("-c", IS_COVERED).stdout == "True\n"
    environment.install([])
    assert environment.run("-c", "pass").stderr == ""


def test_disabling_removes_bytecode(tmp_path):
    (tmp_path / MODULE).write_text(_enable.MARK)
    bytecode = Path(importlib.util.cache_from_source(str(tmp_path / MODULE)))
    bytecode.parent.mkdir()
    bytecode.write_bytes(b"")
    _enable.disable(tmp_path)
    assert not bytecode.exists()


def test_pth_file_is_one_import_line():
    """Its other lines are comments: a line that is neither would be added to sys.path."""
    [line] = [line for line in _enable.FILES[PTH].splitlines() if not line.startswith("#")]
    assert line.startswith("import ")


def test_folder_of_the_user(monkeypatch):
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    assert _enable.folder_of(user=True) == Path(site.getusersitepackages())
