"""
The files in ``site-packages`` that switch the shim on for every Python process that reads them.

An import line in a ``.pth`` file is for Python up to 3.17; an entry point in a ``.start`` file for
3.15 and later, which then ignores the import line (:pep:`829`). pip doesn't know the files, and
leaves them behind when it uninstalls: nothing in them may fail then.

"""

from __future__ import annotations

import contextlib
import os
import site
import stat
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from .refused import Refused

MARK = "# Written by websockets-closefix: `python -m websockets_closefix disable` removes it.\n"

MODULE = "websockets_closefix_start"

FILES = {
    f"{MODULE}.py": MARK
    + '''\
import site
import sys


def arm():
    """Import websockets_closefix, if it is there: it may have been uninstalled."""
    before = sys.path[:]
    # A user's files are read before the folders of the system are on sys.path.
    sys.path += site.getsitepackages()
    try:
        import websockets_closefix  # noqa: F401
    except (ImportError, OSError):
        pass
    finally:
        sys.path[:] = before
''',
    # The module costs a little, and is rarely needed here.
    "websockets_closefix.pth": MARK
    + 'import sys; exec("try:\\n import websockets_closefix\\nexcept (ImportError, OSError):\\n'
    f" try:\\n  import {MODULE}; {MODULE}.arm()\\n"
    ' except (ImportError, OSError):\\n  pass")\n',
    "websockets_closefix.start": f"{MARK}{MODULE}:arm\n",
}

READABLE = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def folder(*, user: bool) -> Path:
    """
    Return the folder whose ``.pth`` files this interpreter reads when it starts.

    Args:
        user: The user's own folder rather than the environment's.

    Raises:
        Refused: If that can't be told, or if ``user`` is set and this interpreter ignores the
            user's folder.

    """
    if sys.flags.no_site:
        raise Refused(
            "without the site module this interpreter doesn't know its environment: leave the "
            "option -S out"
        )
    if not user:
        return Path(sysconfig.get_path("purelib"))
    of_the_user = Path(site.getusersitepackages())
    if not site.ENABLE_USER_SITE:
        raise Refused(
            f"{sys.executable} doesn't read {of_the_user}, as in a virtual environment, or with "
            "PYTHONNOUSERSITE or the options -s and -I: leave that or --user out"
        )
    return of_the_user


@contextlib.contextmanager
def refusing_errors(folder: Path) -> Iterator[None]:
    """Say what else can be done where ``folder`` can't be written."""
    try:
        yield
    except OSError as exc:
        raise Refused(
            f"{folder} can't be written ({exc.strerror}): import websockets_closefix in "
            "sitecustomize.py, or start the program with `python -m websockets_closefix run`"
        ) from exc


def ours(folder: Path) -> dict[str, str | None]:
    """Return the text of each file, None where there is none, unless one is somebody else's."""
    texts = {name: read(folder / name) for name in FILES}
    for name, text in texts.items():
        if text is not None and not text.startswith(MARK):
            raise Refused(
                f"{folder / name} wasn't written by websockets-closefix, which leaves it alone: "
                "move it away and try again"
            )
    return texts


def read(path: Path) -> str | None:
    """Return what is in a file, None where there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def put(folder: Path, texts: Mapping[str, str | None]) -> None:
    """Give each file its text at one stroke; remove those that have none."""
    for name, text in texts.items():
        path = folder / name
        if text is None:
            remove(path)
            continue
        draft = folder / f"{name}.{os.getpid()}"  # site reads what ends in .pth or .start
        try:
            draft.write_text(text, encoding="utf-8")
            make_readable(draft)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def make_readable(path: Path) -> None:
    """Let everybody read a file, whatever the umask: a service runs as another user."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & READABLE != READABLE:
        path.chmod(mode | READABLE)


def remove(path: Path) -> None:
    """Remove a file, and what Python made of it."""
    path.unlink(missing_ok=True)
    if path.suffix == ".py":
        for bytecode in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            bytecode.unlink(missing_ok=True)
