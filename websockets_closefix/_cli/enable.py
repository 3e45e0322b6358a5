"""``enable`` and ``disable``: the shim for every Python process of an environment."""

from __future__ import annotations

import contextlib
import site
import stat
import sys
from pathlib import Path

import websockets_closefix

from .findings import Findings
from .fresh_process import ask, environ_without_pythonpath
from .refused import Refused
from .site_files import FILES, make_readable, ours, put, refusing_errors


def enable(folder: Path) -> list[str]:
    """
    Switch the shim on for all Python processes that read ``folder`` when they start.

    Args:
        folder: What :func:`~.site_files.folder` returned.

    Returns:
        What has been done, a line each.

    Raises:
        Refused: If the folder can't be written, if it holds a file of somebody else's by one of
            the names, or if a new process doesn't get the shim all the same. The folder then
            holds what it held before.

    """
    with refusing_errors(folder):
        before = ours(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            put(folder, {name: text for name, text in FILES.items() if before[name] != text})
            for name in FILES:
                make_readable(folder / name)
            found = ask_new_process()
        except BaseException:
            with contextlib.suppress(OSError):
                put(folder, before)
            raise
    return [
        *(
            f"{'found' if before[name] == FILES[name] else 'wrote'} {folder / name}"
            for name in FILES
        ),
        f"every new Python process of this environment is covered{exceptions(folder)}",
        *remarks(found),
    ]


def disable(folder: Path) -> list[str]:
    """
    Undo :func:`enable`, whichever release of this package did it.

    Args:
        folder: What :func:`~.site_files.folder` returned.

    Returns:
        What has been done, a line each.

    Raises:
        Refused: If the folder can't be written, or holds a file of somebody else's by one of the
            names.

    """
    with refusing_errors(folder):
        before = ours(folder)
        put(folder, dict.fromkeys(FILES))
    removed = [f"removed {folder / name}" for name, text in before.items() if text is not None]
    return removed or [f"nothing to remove from {folder}"]


def ask_new_process() -> Findings:
    """See for ourselves that a process that knows nothing of the shim has it."""
    found = ask(environ_without_pythonpath())
    if found.switched_on_by is None:
        raise Refused(
            f"a new process of {sys.executable} doesn't find websockets_closefix as it starts "
            "(PYTHONPATH, which a service needn't have, doesn't count): install "
            "websockets-closefix into that environment, then enable it"
        )
    return found


def remarks(found: Findings) -> list[str]:
    """Say it where the shim has nothing to repair, or doesn't repair all the same."""
    if found.state == "applied":
        return []
    title = "not needed at present" if found.state == "not-affected" else "but nothing is repaired"
    return [f"{title}: {found.detail}"]


def exceptions(folder: Path) -> str:
    """Name whoever isn't covered by files in ``folder``."""
    package = Path(websockets_closefix.__file__).parent
    if Path(site.getusersitepackages()) in (folder, package.parent):
        return ", but of this user alone, and without the options -s and -I"
    closed = [each for each in package.parents if not each.stat().st_mode & stat.S_IXOTH]
    if not package.joinpath("__init__.py").stat().st_mode & stat.S_IROTH:
        closed.append(package)
    return f", but of no user who may not read {closed[-1]}" if closed else ""
