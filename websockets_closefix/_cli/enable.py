"""
``enable`` and ``disable``: the shim for every Python process of an environment.

That is up to files in ``site-packages``. An import line in a ``.pth`` file is for Python up to
3.17; an entry point in a ``.start`` file for 3.15 and later, which then ignores the import line
(:pep:`829`). pip doesn't know the files, and leaves them behind when it uninstalls: nothing in them
may fail then.

"""

from __future__ import annotations

import contextlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import websockets_closefix

from .findings import Findings, ask, refusal

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

INSTEAD = (
    "import websockets_closefix in the program, or in a sitecustomize.py on PYTHONPATH, or start "
    "the program with `python -m websockets_closefix run COMMAND`"
)


def enable(folder: Path) -> list[str]:
    """
    Switch the shim on for all Python processes that read ``folder`` when they start.

    Args:
        folder: What :func:`folder_of` returned.

    Returns:
        What has been done, a line each.

    Raises:
        SystemExit: With a sentence, if the folder can't be written, if it holds a file of somebody
            else's by one of the names, or if a new process doesn't get the shim all the same. The
            folder then holds what it held before.

    """
    with refusing_errors(folder):
        before = ours(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            put(folder, {name: text for name, text in FILES.items() if before[name] != text})
            found = ask_new_process()
        except BaseException:
            with contextlib.suppress(OSError):
                put(folder, before)
            raise
    package = Path(websockets_closefix.__file__).parent
    is_users = Path(site.getusersitepackages()) in (folder, package.parent)
    of_user = " that this user starts" if is_users else ""
    lines = [
        f"{'found' if before[name] == text else 'wrote'} {folder / name}"
        for name, text in FILES.items()
    ]
    lines.append(f"every new Python process of this environment{of_user} has the shim")
    if found["state"] != "applied":
        lines.append(f"{found['state']}: {found['detail']}")
    return lines


def disable(folder: Path) -> list[str]:
    """
    Undo :func:`enable`, whichever release of this package did it.

    Args:
        folder: What :func:`folder_of` returned.

    Returns:
        What has been done, a line each.

    Raises:
        SystemExit: With a sentence, if the folder can't be written, or holds a file of somebody
            else's by one of the names.

    """
    with refusing_errors(folder):
        before = ours(folder)
        put(folder, dict.fromkeys(FILES))
    removed = [f"removed {folder / name}" for name, text in before.items() if text is not None]
    return removed or [f"nothing to remove from {folder}"]


def ask_new_process() -> Findings:
    """Ask a process that hasn't this one's PYTHONPATH, as a service may not have it."""
    found = ask({key: value for key, value in os.environ.items() if key != "PYTHONPATH"})
    if found["switched_on_by"] is None:
        raise refusal(
            f"a new process of {sys.executable} doesn't find websockets_closefix as it starts, "
            "unless PYTHONPATH leads to it: install websockets-closefix into that environment, or, "
            f"where that can't be done, as with a layer of AWS Lambda, {INSTEAD}"
        )
    return found


def folder_of(*, user: bool) -> Path:
    """
    Return the folder whose ``.pth`` files this interpreter reads when it starts.

    Args:
        user: The user's own folder rather than the environment's.

    Raises:
        SystemExit: With a sentence, if this interpreter doesn't read the user's folder.

    """
    if not user:
        return Path(sysconfig.get_path("purelib"))
    if not site.ENABLE_USER_SITE:
        raise refusal(
            f"{sys.executable} doesn't read {site.getusersitepackages()}, as in a virtual "
            "environment made without --system-site-packages, or with PYTHONNOUSERSITE or the "
            "options -s, -I and -S: leave that or --user out"
        )
    return Path(site.getusersitepackages())


@contextlib.contextmanager
def refusing_errors(folder: Path) -> Iterator[None]:
    """Say what else can be done where ``folder`` can't be written."""
    try:
        yield
    except OSError as exc:
        raise refusal(f"{folder} can't be written ({exc.strerror}): {INSTEAD}") from exc


def ours(folder: Path) -> dict[str, str | None]:
    """Return the text of each file, None where there is none, unless one is somebody else's."""
    texts: dict[str, str | None] = dict.fromkeys(FILES)
    for name in FILES:
        with contextlib.suppress(FileNotFoundError):
            text = texts[name] = (folder / name).read_text(encoding="utf-8", errors="replace")
            if not text.startswith(MARK):
                raise refusal(
                    f"{folder / name} wasn't written by websockets-closefix, which leaves it "
                    "alone: move it away and try again"
                )
    return texts


def put(folder: Path, texts: Mapping[str, str | None]) -> None:
    """Replace each file in one step, since Pythons are starting; remove those without a text."""
    for name, text in texts.items():
        path = folder / name
        if text is None:
            path.unlink(missing_ok=True)
            for bytecode in folder.glob(f"__pycache__/{path.stem}.*.pyc"):
                bytecode.unlink(missing_ok=True)
            continue
        draft = folder / f"{name}.{os.getpid()}"  # site reads what ends in .pth or .start
        try:
            draft.write_text(text, encoding="utf-8")
            draft.chmod(0o644)  # whatever the umask: a service runs as another user
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
