"""
Switches the shim on and off for every Python process of an environment.

Two files in ``site-packages`` do it: an import line in a ``.pth`` file for Python up to 3.17, and
an entry point in a ``.start`` file for 3.15 and later, which then ignores the import line
(:pep:`829`).

"""

from __future__ import annotations

import contextlib
import os
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

from .refused import Refused

MARK = "# Written by websockets-closefix: `python -m websockets_closefix disable` removes it.\n"

FILES = {
    # Guarded, because pip doesn't know the file and leaves it behind when it uninstalls.
    "websockets_closefix.pth": MARK
    + 'import sys; exec("try:\\n import websockets_closefix\\nexcept ImportError:\\n pass")\n',
    "websockets_closefix.start": MARK + "websockets_closefix:apply\n",
}


def enable(folder: Path) -> list[str]:
    """
    Switch the shim on for all Python processes that read ``folder`` when they start.

    Args:
        folder: What :func:`site_packages` returned.

    Returns:
        What has been done, a line each.

    Raises:
        Refused: If the folder can't be written, if it holds a file of somebody else's by one of
            the two names, or if a new process doesn't get the shim all the same. The folder then
            holds what it held before.

    """
    with refusing_errors(folder):
        before = ours(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            put(folder, {name: text for name, text in FILES.items() if before[name] != text})
            check_new_process()
        except BaseException:
            with contextlib.suppress(OSError):
                put(folder, before)
            raise
    return [
        *(
            f"{'found' if before[name] == FILES[name] else 'wrote'} {folder / name}"
            for name in FILES
        ),
        "every new Python process of this environment is covered",
    ]


def disable(folder: Path) -> list[str]:
    """
    Undo :func:`enable`, whichever release of this package did it.

    Args:
        folder: What :func:`site_packages` returned.

    Returns:
        What has been done, a line each.

    Raises:
        Refused: If the folder can't be written, or holds a file of somebody else's by one of the
            two names.

    """
    with refusing_errors(folder):
        before = ours(folder)
        put(folder, dict.fromkeys(FILES))
    removed = [f"removed {folder / name}" for name, text in before.items() if text is not None]
    return removed or [f"nothing to remove from {folder}"]


def site_packages(*, user: bool) -> Path:
    """
    Return the folder whose ``.pth`` files this interpreter reads when it starts.

    Args:
        user: The user's own folder rather than the environment's.

    Raises:
        Refused: If ``user`` is set and this interpreter ignores the user's folder.

    """
    if not user:
        return Path(sysconfig.get_path("purelib"))
    folder = Path(site.getusersitepackages())
    if not site.ENABLE_USER_SITE:
        raise Refused(
            f"{sys.executable} doesn't read {folder}, as in a virtual environment or with "
            "PYTHONNOUSERSITE: leave --user out"
        )
    return folder


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
            path.unlink(missing_ok=True)
            continue
        draft = folder / f"{name}.{os.getpid()}"  # site reads what ends in .pth or .start
        try:
            draft.write_text(text, encoding="utf-8")
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def check_new_process() -> None:
    """See for ourselves that a process that knows nothing of the shim has it."""
    program = "import sys; sys.exit('websockets_closefix' not in sys.modules)"
    if subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode:
        raise Refused(
            f"a new process of {sys.executable} doesn't find websockets_closefix as it starts: "
            "install websockets-closefix into that environment, then enable it"
        )
