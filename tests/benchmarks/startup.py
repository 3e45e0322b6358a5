"""Whole processes, timed with pyperf."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pyperf

EMPTY = "an_empty_package"
POST_IMPORT_HOOK = (
    "import wrapt; "
    "wrapt.register_post_import_hook(lambda module: None, 'websockets.sync.connection')"
)
USE = "import websockets.sync.client"

OLD, NEW = "14.1", "17.4"

# Commands by what they run; and pairs of them, each with its budget.
COMMANDS = {
    "bare": "pass",
    "empty": f"import {EMPTY}",
    "shim": "import websockets_closefix",
    "hook": POST_IMPORT_HOOK,
    **{
        f"{name}{suffix}": program
        for name in ("old", "new")
        for suffix, program in {
            "": USE,
            ", shim": f"import websockets_closefix; {USE}",
            ", wrapt": f"{USE}; import wrapt",
        }.items()
    },
}
PAIRS = [
    ("start-up: shim / empty package", "shim", "empty", "1.05"),
    ("start-up: shim / bare Python", "shim", "bare", None),
    ("start-up: shim / wrapt post-import hook", "shim", "hook", None),
    (f"import websockets.sync.client, {OLD}: shim / none", "old, shim", "old", None),
    (f"the same, {OLD}: shim / wrapt imported", "old, shim", "old, wrapt", None),
    (f"import websockets.sync.client, {NEW}: shim / none", "new, shim", "new", None),
    (f"the same, {NEW}: shim / wrapt imported", "new, shim", "new, wrapt", None),
]


def pairs(rounds, releases):
    """Yield what each pair is called, the ratios of its rounds, and its budget."""
    with an_empty_package():
        times = {name: [] for name in COMMANDS}
        for _ in range(rounds):
            for name, program in COMMANDS.items():
                release = {"old": OLD, "new": NEW}.get(name.partition(",")[0])
                path = str(releases / release) if release else ""
                times[name].append(time_process(program, path))
    for title, one, other, budget in PAIRS:
        yield title, [a / b for a, b in zip(times[one], times[other])], budget


@contextlib.contextmanager
def an_empty_package():
    """Put one beside the package that is measured: it is what any import costs."""
    package = Path(sysconfig.get_path("purelib"), EMPTY)
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    try:
        subprocess.run([sys.executable, "-c", f"import {EMPTY}"], cwd="/", check=True)
        yield
    finally:
        for path in sorted(package.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        package.rmdir()


def time_process(program, path):
    """Return the seconds that an interpreter needs for ``program``, undisturbed by others."""
    with tempfile.TemporaryDirectory() as folder:
        result = os.path.join(folder, "result.json")
        options = ["--processes=1", "--values=10", "--warmups=1", "--loops=1", "--quiet"]
        subprocess.run(
            [
                *(sys.executable, "-m", "pyperf", "command", *options),
                *("--inherit-environ=PYTHONPATH", "--output", result),
                *(sys.executable, "-c", program),
            ],
            cwd="/",
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return min(pyperf.Benchmark.load(result).get_values())
