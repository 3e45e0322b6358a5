"""Starting a command with the shim switched on, as if it had been started without."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType

import pytest

from websockets_closefix._cli import command_line
from websockets_closefix._cli import run as _run

from ..conftest import affected
from ..environments import CURED, LEAKED, PACKAGES, VENDOR, WINDOWS, create, link

RUN = ("-m", "websockets_closefix", "run")
IS_COVERED = "import sys; print('websockets_closefix' in sys.modules)"

posix = pytest.mark.skipif(WINDOWS, reason="there is no such thing on Windows")

# All that a program can see of how it was started.
PROBE = """
import json, os, sys
print(json.dumps({
    "argv": sys.argv,
    "path": sys.path,
    "flags": [str(sys.flags), sys.warnoptions, sys._xoptions, __debug__],
    "modules": [m for m in sys.modules if m.partition("_")[0] != "websockets"],
    "sitecustomize": getattr(sys.modules.get("sitecustomize"), "__file__", None),
    "environ": {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LC_CTYPE")},
    "stdin": sys.stdin.isatty(),
}))
"""


@pytest.fixture
def probe(tmp_path):
    path = tmp_path / "probe.py"
    path.write_text(PROBE)
    return path


def plain_and_run(environment, *arguments, **kwargs):
    """Start Python twice, by itself and by run."""
    return [
        environment.run(*start, *arguments, **kwargs) for start in ((), (*RUN, environment.python))
    ]


def path_of(*folders):
    return {"PYTHONPATH": os.pathsep.join(map(str, folders))}


def test_the_program_sees_no_difference(environment, probe, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("")
    arguments = ["-O", "-Wignore", "-Xutf8", probe, "-m", "--json", "-h", "--", ""]
    plain, with_run = plain_and_run(environment, *arguments, **path_of(tmp_path))
    seen = json.loads(plain.stdout)
    assert json.loads(with_run.stdout) == seen
    assert (with_run.stderr, plain.stderr) == ("", "")
    assert seen["argv"][1:] == arguments[4:]
    assert seen["sitecustomize"] == str(tmp_path / "sitecustomize.py")


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("def f(): raise ValueError('x')\nf()", 1),
        # A process started in the background may ignore it, until it says otherwise.
        pytest.param(
            "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "os.kill(os.getpid(), signal.SIGINT)",
            -signal.SIGINT,
            marks=posix,
        ),
        ("import signal; print(signal.getsignal(signal.SIGINT))", 0),
    ],
)
def test_exit_code_and_output(environment, tmp_path, program, code):
    script = tmp_path / "program.py"
    script.write_text(program)
    plain, with_run = plain_and_run(environment, script, code=code)
    assert (with_run.stdout, with_run.stderr) == (plain.stdout, plain.stderr)


@posix
def test_the_process_is_replaced(environment):
    """So that a supervisor's signals reach the program."""
    environ = {**os.environ, **path_of(*PACKAGES)}
    command = [environment.python, *RUN, environment.python, "-c", "import os; print(os.getpid())"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        output, _ = process.communicate(timeout=30)
    assert int(output) == process.pid


def test_windows_waits_for_the_program(capfd, monkeypatch):
    """Where a process can't be replaced. Ctrl+C is the program's business."""
    monkeypatch.setattr(sys, "platform", "win32")
    ignored = []
    monkeypatch.setattr(signal, "signal", lambda *args: ignored.append(args))
    program = "import sys; print('ran', sys.argv[1:]); sys.exit(3)"
    assert _run.run([sys.executable, "-c", program, "a"]) == 3
    assert capfd.readouterr().out.splitlines() == ["ran ['a']"]
    assert ignored == [(signal.SIGINT, signal.SIG_IGN)]


# What can be started.


@posix
def test_a_command_on_path_and_a_script_that_is_executable(environment, tmp_path):
    script = tmp_path / "manage"
    script.write_text(f"#!{environment.python}\n{IS_COVERED}\n")
    script.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    assert environment.run(*RUN, "manage", PATH=path).stdout == "True\n"
    assert environment.run(*RUN, script).stdout == "True\n"


@pytest.mark.parametrize(
    ("command", "is_there", "code"),
    [
        ("no-such-command", False, 127),
        ("app.py", False, 127),
        ("app.py", True, 127),
        pytest.param("", False, 126, marks=posix),  # a variable that isn't set
    ],
)
def test_a_command_that_is_not_there(capsys, monkeypatch, tmp_path, command, is_there, code):
    """On PATH, that is: the current directory isn't searched."""
    monkeypatch.chdir(tmp_path)
    if is_there:
        (tmp_path / command).write_text("")
    if WINDOWS and is_there:
        code = 126  # there it is, but nothing that Windows can execute
    assert command_line.main(["run", command, "x"]) == code
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"websockets-closefix: {command or 'an empty command'} can't be started")
    assert ("`websockets-closefix run python app.py`" in line) == is_there


def test_a_command_after_two_dashes(monkeypatch):
    """As env(1) takes them, too."""
    monkeypatch.setattr(_run, "run", lambda command: command)
    assert command_line.main(["run", "--", "python", "--", "-x"]) == ["python", "--", "-x"]


def test_a_folder_that_pythonpath_cannot_hold(monkeypatch):
    monkeypatch.setattr(_run, "BOOTSTRAP", f"with{os.pathsep}separator")
    with pytest.raises(SystemExit, match=r"PYTHONPATH can't hold with.separator"):
        _run.run(["python"])


def test_a_file_that_is_not_executable(capsys, tmp_path):
    script = tmp_path / "app.py"
    script.write_text("")
    assert command_line.main(["run", str(script)]) == 126
    [line] = capsys.readouterr().err.splitlines()
    assert f"`websockets-closefix run python {script}`" in line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run"], "it needs a COMMAND, as in `run python app.py`"),
        (["run", "-m", "app"], "-m (they go to Python: `run python -m MODULE`)"),
        (["run", "-u", "app.py"], "-u (they go to Python: `run python -m MODULE`)"),
    ],
)
def test_options_and_nothing(capsys, arguments, complaint):
    with pytest.raises(SystemExit) as stop:
        command_line.main(arguments)
    assert stop.value.code == 2
    assert complaint in capsys.readouterr().err.splitlines()[-1]


# What has the shim.


@affected
def test_a_third_party_program_is_cured(environment):
    assert environment.meets_the_race() == LEAKED
    assert environment.meets_the_race(*RUN, environment.python) == CURED


def test_from_a_checkout_that_is_not_installed(environment):
    """Neither the program nor its subprocesses find the package by themselves."""
    environment.install(PACKAGES[:1])
    command = (
        f"import sys; sys.path.append({PACKAGES[1]!r})\n"
        "from websockets_closefix._cli import command_line\n"
        f"sys.exit(command_line.main(['run', sys.executable, '-c', {IS_COVERED!r}]))"
    )
    assert environment.run("-c", command).stdout.split() == ["True"]


@pytest.fixture
def another_environment(environment, tmp_path):
    """Make one that has websockets, but neither this package nor wrapt; return its interpreter."""
    another = create(tmp_path / "another")
    link(another.site_packages, "websockets")
    # As pip installs them, side by side.
    environment.install(
        [link(tmp_path / "installed", "websockets", "websockets_closefix", "wrapt")]
    )
    return another.python


@affected
def test_subprocesses_of_another_environment_are_cured(environment, tmp_path, another_environment):
    script = tmp_path / "program.py"
    script.write_text(
        "import subprocess\n"
        f"subprocess.run([{another_environment!r}, {str(VENDOR)!r}], check=True)\n"
    )
    assert environment.run(script).stdout.splitlines() == LEAKED
    result = environment.run(*RUN, environment.python, script)
    assert result.stdout.splitlines() == CURED
    assert result.stderr == ""


def test_another_environment_does_not_see_what_it_does_not_need(environment, another_environment):
    program = "import importlib.util as u; print(u.find_spec('wrapt'), u.find_spec('no_such'))"
    result = environment.run(*RUN, another_environment, "-c", program)
    assert result.stdout == "None None\n"


def test_subprocess_with_a_path_of_its_own_is_not_covered(environment, tmp_path):
    """As --help says."""
    help_text = " ".join(environment.command("run", "--help").stdout.split())
    assert "not in those that are given another one, or Python's options -E, -I or -S" in help_text
    script = tmp_path / "program.py"
    script.write_text(
        "import os, subprocess, sys\n"
        "def child(*options, **environ):\n"
        f"    command = [sys.executable, *options, '-c', {IS_COVERED!r}]\n"
        "    subprocess.run(command, env={**os.environ, **environ}, check=True)\n"
        "child(); child(PYTHONPATH=''); child('-E'); child('-I'); child('-S')\n"
    )
    lines = environment.run(*RUN, environment.python, script).stdout.split()
    assert lines == ["True", "False", "False", "False", "False"]


def test_python_path(monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert _run.python_path() == _run.BOOTSTRAP
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["a", _run.BOOTSTRAP, "b"]))
    assert _run.python_path().split(os.pathsep) == [_run.BOOTSTRAP, "a", "b"]


# The program's own sitecustomize and usercustomize.


def test_sitecustomize_that_fails(environment, tmp_path):
    """Python complains once in the process that starts the program, and once in the program."""
    (tmp_path / "sitecustomize.py").write_text("1 / 0\n")
    plain, with_run = plain_and_run(environment, "-c", IS_COVERED, **path_of(tmp_path))
    assert "ZeroDivisionError" in plain.stderr
    assert with_run.stderr == plain.stderr * 2
    assert with_run.stdout == "True\n"


def test_usercustomize(environment, tmp_path):
    """Outside the virtual environment, which ignores it."""
    base = sys._base_executable if WINDOWS else os.path.realpath(environment.python)
    (tmp_path / "usercustomize.py").write_text("import sys; sys.own = True\n")
    result = environment._replace(python=base).run(
        "-c", WHAT_RAN, **path_of(_run.BOOTSTRAP, tmp_path)
    )
    assert result.stdout == "True False True\n"


# Other launchers that work by a sitecustomize on PYTHONPATH, and how they import the next one.

WITHOUT_ITS_FOLDER = """\
import os, sys
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if path != here]
"""
FIND_NEXT = """\
import importlib.util, runpy
from importlib.machinery import PathFinder
spec = PathFinder.find_spec("sitecustomize", path=sys.path)
"""
IMPORT_NEXT = {
    # as ddtrace's does
    "import": "this = sys.modules.pop('sitecustomize', None)\n"
    "try:\n"
    "    import sitecustomize\n"
    "except ImportError:\n"
    "    sys.modules['sitecustomize'] = this\n"
    "sys.path.insert(0, here)\n",
    # as New Relic's does, into its own namespace
    "load_module": f"{FIND_NEXT}if spec: spec.loader.load_module('sitecustomize')\n",
    "exec_module": f"{FIND_NEXT}if spec:\n"
    "    spec.loader.exec_module(importlib.util.module_from_spec(spec))\n",
    "runpy": f"{FIND_NEXT}if spec: runpy.run_path(spec.origin)\n",
    "runpy, with its folder on sys.path": f"{FIND_NEXT}sys.path.insert(0, here)\n"
    "if spec: runpy.run_path(spec.origin)\n",
}
WHAT_RAN = """\
import sys
print("websockets_closefix" in sys.modules, getattr(sys, "launched", False), hasattr(sys, "own"))
"""


@pytest.fixture
def launcher(tmp_path):
    """Write a launcher's sitecustomize, and return its folder."""

    def write(import_next):
        if import_next == "load_module" and not hasattr(SourceFileLoader, "load_module"):
            pytest.skip("this Python's loaders don't have load_module() any more")
        folder = tmp_path / "launcher"
        folder.mkdir()
        text = WITHOUT_ITS_FOLDER + IMPORT_NEXT[import_next] + "sys.launched = True\n"
        (folder / "sitecustomize.py").write_text(text)
        return folder

    return write


@pytest.mark.parametrize("has_own", [False, True])
@pytest.mark.parametrize("import_next", IMPORT_NEXT)
def test_other_launchers(environment, launcher, tmp_path, import_next, has_own):
    """Inside run and outside of it, the shim, the launcher and the program's own all run."""
    folders = [launcher(import_next), _run.BOOTSTRAP]
    own = tmp_path / "own"
    own.mkdir()
    if has_own:
        (own / "sitecustomize.py").write_text("import sys; sys.own = True\n")
    for outer, inner in (folders, reversed(folders)):
        result = environment.run("-c", WHAT_RAN, **path_of(outer, inner, own))
        assert (result.stdout, result.stderr) == (f"True True {has_own}\n", "")


def test_a_launcher_that_runs_run(environment, launcher, tmp_path):
    """From its command line to the program."""
    folder = launcher("import")
    result = environment.run(
        *RUN, environment.python, "-c", WHAT_RAN, **path_of(folder, tmp_path, *PACKAGES)
    )
    assert (result.stdout, result.stderr) == ("True True False\n", "")


def test_subprocesses_where_a_launcher_puts_itself_in_front(environment, tmp_path):
    """As OpenTelemetry's does, whose sitecustomize imports no next one."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "here = os.path.dirname(os.path.abspath(__file__))\n"
        "rest = [p for p in os.environ['PYTHONPATH'].split(os.pathsep) if p != here]\n"
        "os.environ['PYTHONPATH'] = os.pathsep.join([here, *rest])\n"
    )
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {IS_COVERED!r}])"
    result = environment.run("-c", program, **path_of(_run.BOOTSTRAP, tmp_path, *PACKAGES))
    assert (result.stdout, result.stderr) == ("True\n", "")


def test_opentelemetry_is_put_back_on_pythonpath(monkeypatch, tmp_path):
    """Some releases take themselves off in the process that they instrument: that of run."""
    module = ModuleType("opentelemetry.instrumentation.auto_instrumentation")
    module.__file__ = str(tmp_path / "__init__.py")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for before in ("a", os.pathsep.join([str(tmp_path), "a"])):
        monkeypatch.setenv("PYTHONPATH", before)
        assert _run.python_path().split(os.pathsep) == [_run.BOOTSTRAP, str(tmp_path), "a"]


@pytest.mark.parametrize("name", ["opentelemetry-instrument", "elasticapm-run"])
def test_launchers_that_cannot_be_outside_are_told_of(environment, tmp_path, name):
    """Their sitecustomize imports no other one, so that run's isn't reached."""
    for file in (tmp_path / name, tmp_path / f"{name}.exe"):
        file.write_text("")
        [line] = environment.run(file, **path_of(_run.BOOTSTRAP)).stderr.splitlines()
        assert f"`{name} websockets-closefix run COMMAND`" in line


def test_without_standard_error_nothing_is_said(environment, tmp_path):
    file = os.path.join(_run.BOOTSTRAP, "sitecustomize.py")
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys\nstderr, argv, file = sys.stderr, sys.argv, {file!r}\n"
        "for sys.stderr, sys.argv in [(None, ['elasticapm-run']), (stderr, [])]:\n"
        "    with open(file) as source: exec(source.read(), {'__file__': file})\n"
        "sys.argv, sys.launched = argv, True\n"
    )
    result = environment.run("-c", WHAT_RAN, **path_of(tmp_path))
    assert (result.stdout, result.stderr) == ("True True False\n", "")


# The sitecustomize itself.


def test_a_package_that_cannot_be_imported_is_told_of(environment, tmp_path):
    """The program starts all the same, with its own sitecustomize."""
    environment.install([])
    bootstrap = tmp_path / "websockets_closefix" / "_bootstrap"
    shutil.copytree(_run.BOOTSTRAP, bootstrap)
    (tmp_path / "websockets_closefix" / "__init__.py").write_text("raise ValueError('broken')")
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys; sys.own = True\n")
    result = environment.run("-c", WHAT_RAN, **path_of(bootstrap, own))
    assert result.stdout == "False False True\n"
    [line] = result.stderr.splitlines()
    assert line == (
        "websockets-closefix: it can't be switched on in this process: ValueError('broken')"
    )


def test_older_pythons_can_compile_it():
    """PYTHONPATH hands it to them, too: neither f-strings nor annotations."""
    with open(os.path.join(_run.BOOTSTRAP, "sitecustomize.py"), encoding="ascii") as file:
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        assert not isinstance(node, (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr))
        assert getattr(node, "annotation", None) is None
        assert getattr(node, "returns", None) is None
