"""The command line: ``python -m websockets_closefix``, also ``websockets-closefix``."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from typing import Any, Callable

import websockets_closefix

from . import enable as files
from . import run as program
from . import status as page
from .findings import refusal

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Args:
        argv: Arguments; by default those of the process.

    Returns:
        Exit code: 0 where closing a connection is safe and what was asked for is done, else 1.

    Raises:
        SystemExit: With code 2, after a line on stderr, if the arguments are wrong; with a sentence
            about what can't be done.

    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may have any letter in it
    arguments, unknown = parser().parse_known_args(argv)
    if unknown:
        hint = " (they go to Python: `run python -m MODULE`)" if arguments.function is run else ""
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    function: Command = arguments.function
    return function(arguments)


def parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    root = argparse.ArgumentParser(
        prog="websockets-closefix",
        description="Makes connections of the websockets library end properly. Without a command: "
        "status.",
    )
    root.add_argument("--version", action="version", version=websockets_closefix.__version__)
    root.set_defaults(function=status, json=False, parser=root)
    commands = root.add_subparsers(metavar="COMMAND")

    def add(function: Command, description: str, **kwargs: Any) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = commands.add_parser(
            function.__name__, description=description, **kwargs
        )
        parser.set_defaults(function=function, parser=parser)
        return parser

    add(
        status,
        "Examine the environment of the Python that runs this command. Exit 0 where closing is "
        "safe for a program of it, else 1.",
        help="tell whether closing a connection is safe here",
    ).add_argument("--json", action="store_true", help="print JSON")
    add(
        verify,
        "Reproduce each bug of the installed websockets on connections to 127.0.0.1, first without "
        "the shim and then with it. Exit 0 where every connection ended properly with the shim, "
        "else 1.",
        help="reproduce the bugs of this websockets, without the shim and with it",
    ).add_argument("--json", action="store_true", help="print JSON")
    add(
        enable,
        f"Write {', '.join(files.FILES)} into the site-packages of the Python that runs this "
        "command. Exit 0 where new processes have the shim, else 1, with nothing written. A frozen "
        "program isn't reached: that one has to import websockets_closefix.",
        help="switch the shim on for every Python process of this environment",
    ).add_argument("--user", action="store_true", help="into the user's site-packages")
    add(
        disable,
        f"Remove {', '.join(files.FILES)}, which enable wrote.",
        help="undo enable",
    ).add_argument("--user", action="store_true", help="from the user's site-packages")
    add(
        run,
        "Start a command, as in `run python app.py` or `run gunicorn app:app`, with the shim "
        "switched on in each process of Python 3.9 or later that it starts, also of another "
        "environment, because they inherit PYTHONPATH; not in those that are given another one, or "
        "Python's options -E, -I or -S.",
        help="start a command with the shim switched on",
        usage="%(prog)s [-h] COMMAND ...",
    ).add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return root


def status(arguments: argparse.Namespace) -> int:
    """Print where this environment stands."""
    return page.status(as_json=arguments.json)


def verify(arguments: argparse.Namespace) -> int:
    """Print how connections end here, without the shim and with it."""
    try:
        from . import verify as verification

        report = verification.verify()
    except ImportError as exc:
        raise refusal(f"websockets can't be imported: {exc}") from exc
    if arguments.json:
        print(json.dumps(verification.as_json(report), indent=2))
    else:
        print(verification.as_text(report))
    return 1 if report.leaked else 0


def enable(arguments: argparse.Namespace) -> int:
    """Switch the shim on for the environment, and print what was done."""
    print("\n".join(files.enable(files.folder_of(user=arguments.user))))
    return 0


def disable(arguments: argparse.Namespace) -> int:
    """Undo :func:`enable`, and print what was done."""
    print("\n".join(files.disable(files.folder_of(user=arguments.user))))
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Start a command; returns on Windows alone, or if the command can't be started."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        arguments.parser.error("it needs a COMMAND, as in `run python app.py`")
    return program.run(command)
