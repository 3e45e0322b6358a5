"""``enable`` and ``disable``: the shim for every Python process of an environment."""

from __future__ import annotations

import contextlib
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
        f"every new Python process of this environment is covered{exceptions()}",
        *([f"not needed at present: {found.detail}"] if found.state == "not-affected" else []),
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


def exceptions() -> str:
    """Name whoever isn't covered."""
    package = Path(websockets_closefix.__file__)
    if package.stat().st_mode & stat.S_IROTH:
        return ""
    return f", but of no user who may not read {package.parent}"
