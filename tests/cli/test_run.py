"""Starting a program with the shim switched on, as if Python itself had started it."""

from __future__ import annotations

import json
import os
import signal
import sys
import venv

import pytest

from websockets_closefix._cli import command_line, interpreter
from websockets_closefix._cli import run as _run

from ..conftest import affected
from ..environments import CURED, LEAKED, PACKAGES, VENDOR, link

RUN = ("-m", "websockets_closefix", "run")

# All that a program can see of how it was started.
PROBE = """
import json, os, sys, warnings
print(json.dumps({
    "argv": sys.argv,
    "path": sys.path,
    "main": [__name__, __file__, getattr(__spec__, "name", None), __package__],
    "__main__": sys.modules["__main__"].__file__,
    "flags": [str(sys.flags), sys.warnoptions, sys._xoptions, __debug__],
    "unbuffered": sys.stdout.write_through,
    "modules": [m for m in sys.modules if not m.startswith("websockets_closefix")],
    "environ": {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LC_CTYPE")},
    "stdin": sys.stdin.isatty(),
}))
"""


@pytest.fixture
def probe(tmp_path):
    path = tmp_path / "probe.py"
    path.write_text(PROBE)
    return path


def see_the_same(environment, *arguments, options=(), **environ):
    plain, with_run = (
        environment.run(*options, *start, *arguments, **environ) for start in ((), RUN)
    )
    assert with_run.stderr == plain.stderr
    seen = json.loads(with_run.stdout)
    assert seen == json.loads(plain.stdout)
    return seen


def test_a_script(environment, probe):
    seen = see_the_same(environment, probe, "-m", "--json", "-h", "--", "")
    assert seen["argv"] == [str(probe), "-m", "--json", "-h", "--", ""]
    assert seen["path"][0] == str(probe.parent)


def test_a_module(environment, probe):
    seen = see_the_same(environment, "-m", "probe", "-m", "x", PYTHONPATH=str(probe.parent))
    assert seen["argv"] == [str(probe), "-m", "x"]


def test_options_of_the_interpreter_are_handed_on(environment, probe):
    options = ("-O", "-Wignore", "-Xutf8", "-uX", "pycache_prefix=/x", "-X", "whatever=1")
    seen = see_the_same(environment, probe, options=options, PYTHONWARNINGS="once")
    assert seen["flags"][1:] == [
        ["once", "ignore"],
        {"utf8": True, "pycache_prefix": "/x", "whatever": "1"},
        False,
    ]
    assert seen["unbuffered"]


@pytest.mark.parametrize(
    ("command_line", "options"),
    [
        ([], []),
        (["-m", "x", "-u"], []),
        (["-um", "x", "-O"], ["-u"]),
        (["-umx"], ["-u"]),
        (["-c", "pass", "-u"], []),
        (["-OO", "-u", "/bin/websockets-closefix", "run", "-m"], ["-O", "-O", "-u"]),
        (["-bX", "dev", "-Xa=m", "-W", "error", "-Wc", "x"], "-b -X dev -X a=m -W error -W c"),
        (["--check-hash-based-pycs", "always", "-m", "x"], "--check-hash-based-pycs always"),
        (["-i", "--", "-u"], ["-i"]),
        (["-"], []),
    ],
)
def test_options_of_the_interpreter_are_told_from_others(command_line, options):
    expected = options.split() if isinstance(options, str) else options
    assert interpreter.options_in(["python", *command_line]) == expected


def test_how_python_3_9_tells_its_command_line(monkeypatch):
    """Which has no sys.orig_argv."""
    expected = interpreter.options()
    monkeypatch.setattr(sys, "version_info", (3, 9))
    assert interpreter.options() == expected


def test_sitecustomize_of_the_application(environment, probe, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.argv_seen = 'customized'\n")
    probe.write_text(PROBE + "sys.argv_seen, sys.modules['sitecustomize'].__file__\n")
    seen = see_the_same(environment, probe, PYTHONPATH=str(tmp_path))
    assert "sitecustomize" in seen["modules"]


def test_sitecustomize_that_fails(environment, probe, tmp_path):
    """Python complains once in the process that starts the program, and once in the program."""
    (tmp_path / "sitecustomize.py").write_text("1 / 0\n")
    plain, with_run = (
        environment.run(*start, probe, PYTHONPATH=str(tmp_path)) for start in ((), RUN)
    )
    assert "ZeroDivisionError" in plain.stderr
    assert with_run.stderr == plain.stderr * 2
    assert json.loads(with_run.stdout) == json.loads(plain.stdout)


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('out of order')", 1),
        ("def f(): raise ValueError('x')\nf()", 1),
        ("syntax error", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        # A process started in the background may ignore it, until it says otherwise.
        (
            "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "os.kill(os.getpid(), signal.SIGINT)",
            -signal.SIGINT,
        ),
        ("import signal; print(signal.getsignal(signal.SIGINT), signal.getsignal(13))", 0),
    ],
)
def test_exit_code_signals_and_traceback(environment, tmp_path, program, code):
    script = tmp_path / "program.py"
    script.write_text(program)
    plain, with_run = (environment.run(*start, script, code=code) for start in ((), RUN))
    assert (with_run.stdout, with_run.stderr) == (plain.stdout, plain.stderr)


def test_a_script_that_is_not_there(environment):
    plain, with_run = (environment.run(*start, "/no/script.py", code=2) for start in ((), RUN))
    assert with_run.stderr == plain.stderr


@affected
def test_a_third_party_program_is_cured(environment):
    assert environment.meets_the_race() == LEAKED
    assert environment.meets_the_race(*RUN) == CURED


@affected
def test_from_a_checkout_that_is_not_installed(environment):
    """Neither the program nor its subprocesses find the package by themselves."""
    environment.install(PACKAGES[:1])
    command = (
        f"import sys; sys.path.append({PACKAGES[1]!r}); "
        "from websockets_closefix._cli import command_line; "
    )
    result = environment.run("-c", f"{command} command_line.main(['run', {str(VENDOR)!r}])")
    assert result.stdout.splitlines() == CURED


@affected
def test_subprocesses_are_cured(environment, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        f"import subprocess, sys\nsubprocess.run([sys.executable, {str(VENDOR)!r}], check=True)\n"
    )
    assert environment.run(*RUN, script).stdout.splitlines() == CURED


@pytest.fixture
def another_environment(environment, tmp_path):
    """Make one that has websockets, but neither this package nor wrapt; return its interpreter."""
    folder = tmp_path / "another"
    venv.create(folder, symlinks=True, with_pip=False)
    [site_packages] = folder.glob("lib/python*/site-packages")
    link(site_packages, "websockets")
    # As pip installs them, side by side.
    environment.install(
        [link(tmp_path / "installed", "websockets", "websockets_closefix", "wrapt")]
    )
    return folder / "bin" / "python"


@affected
def test_subprocesses_of_another_environment_are_cured(environment, tmp_path, another_environment):
    script = tmp_path / "program.py"
    script.write_text(
        "import subprocess\n"
        f"subprocess.run([{str(another_environment)!r}, {str(VENDOR)!r}], check=True)\n"
    )
    assert environment.run(script).stdout.splitlines() == LEAKED
    result = environment.run(*RUN, script)
    assert result.stdout.splitlines() == CURED
    assert result.stderr == ""


def test_another_environment_does_not_see_what_it_does_not_need(
    environment, tmp_path, another_environment
):
    script = tmp_path / "program.py"
    program = "import importlib.util as u; print(u.find_spec('wrapt'), u.find_spec('no_such'))"
    script.write_text(
        "import subprocess\n"
        f"subprocess.run([{str(another_environment)!r}, '-c', {program!r}], check=True)\n"
    )
    assert environment.run(*RUN, script).stdout == "None None\n"


def test_subprocess_with_a_path_of_its_own_is_not_covered(environment, tmp_path):
    """As --help says."""
    help_text = " ".join(environment.command("run", "--help").stdout.split())
    assert "not those that are given another one, or Python's options -E, -I or -S" in help_text
    script = tmp_path / "program.py"
    script.write_text(
        "import os, subprocess, sys\n"
        "program = 'import sys; print(\"websockets_closefix\" in sys.modules)'\n"
        "def child(*options, **environ):\n"
        "    environ = {**os.environ, **environ}\n"
        "    subprocess.run([sys.executable, *options, '-c', program], env=environ, check=True)\n"
        "child(); child(PYTHONPATH='/'); child('-E'); child('-I'); child('-S')\n"
    )
    lines = environment.run(*RUN, script).stdout.split()
    assert lines == ["True", "False", "False", "False", "False"]


@pytest.mark.parametrize("option", ["-E", "-I", "-S"])
def test_options_that_hide_the_shim_are_refused(environment, probe, option):
    path = os.pathsep.join(PACKAGES)  # without which -S finds nothing at all
    result = environment.run(option, *RUN, probe, code=1, PYTHONPATH=path)
    [line] = result.stderr.splitlines()
    assert "-E, -I and -S" in line
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [["run"], ["run", "-m"]])
def test_nothing_to_run(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        command_line.main(arguments)
    assert stop.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "it needs a SCRIPT, or -m and a MODULE" in line


def test_windows_waits_for_the_program(capfd, monkeypatch, probe):
    """A process cannot be replaced there."""
    monkeypatch.setattr(sys, "platform", "win32")
    probe.write_text("import sys; print('ran', sys.argv[1:]); sys.exit(3)")
    assert _run.run([str(probe), "a"]) == 3
    assert capfd.readouterr().out == "ran ['a']\n"
