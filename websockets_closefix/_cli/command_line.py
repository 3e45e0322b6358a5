"""The command line: ``python -m websockets_closefix``, also ``websockets-closefix``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, Callable

from . import enable as switch
from . import run as run_program
from . import site_files
from .refused import Refused
from .terminal import Parser, Version, escape_what_cannot_be_encoded, show


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Args:
        argv: Arguments; by default those of the process.

    Returns:
        Exit code: 0 where closing a connection is safe and what was asked for is done, else 1.

    Raises:
        SystemExit: With code 2, after one line on stderr, if the arguments are wrong.

    """
    escape_what_cannot_be_encoded()
    try:
        arguments, unknown = parser().parse_known_args(argv)
        if unknown:
            arguments.parser.error(f"unrecognised arguments: {' '.join(unknown)}")
        command: Callable[..., int] = arguments.function
        return command(arguments)
    except Refused as exc:
        print(f"websockets-closefix: {exc}", file=sys.stderr)
        return 1
    finally:
        show("", end="")


def parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    root = Parser(
        prog="websockets-closefix",
        description="Cures how connections of websockets.sync end, on websockets 11.0 to 15.0.1. "
        "Without a command: status.",
    )
    root.add_argument("--version", action=Version, nargs=0, help="show it and exit")
    root.set_defaults(function=status, json=False, parser=root)
    commands = root.add_subparsers(metavar="COMMAND")
    for add_command in (add_status, add_verify, add_enable, add_disable, add_run):
        add_command(commands)
    return root


def add_status(commands: Any) -> None:
    """Describe ``status``."""
    parser = commands.add_parser(
        "status",
        help="tell whether closing a connection is safe here, and who holds websockets back",
        description="Examine the environment of the Python that runs this command. Exit 0 where "
        "closing is safe for any new Python process of it, else 1.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=status, parser=parser)


def add_verify(commands: Any) -> None:
    """Describe ``verify``."""
    parser = commands.add_parser(
        "verify",
        help="reproduce the bugs of this websockets, without the shim and with it",
        description="Reproduce each bug of the installed websockets on connections to 127.0.0.1, "
        "first without the shim and then with it. Exit 0 where every connection ended properly "
        "with the shim, else 1.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=verify, parser=parser)


def add_enable(commands: Any) -> None:
    """Describe ``enable``."""
    parser = commands.add_parser(
        "enable",
        help="switch the shim on for every Python process of this environment",
        description=f"Write {', '.join(site_files.FILES)} into the site-packages of the Python "
        "that runs this command. Exit 0 where new processes are covered, else 1, with nothing "
        "written. A frozen program isn't reached: that one has to import websockets_closefix.",
    )
    parser.add_argument("--user", action="store_true", help="into the user's site-packages")
    parser.set_defaults(function=enable, parser=parser)


def add_disable(commands: Any) -> None:
    """Describe ``disable``."""
    parser = commands.add_parser(
        "disable",
        help="undo enable",
        description=f"Remove {', '.join(site_files.FILES)}, which enable wrote.",
    )
    parser.add_argument("--user", action="store_true", help="from the user's site-packages")
    parser.set_defaults(function=disable, parser=parser)


def add_run(commands: Any) -> None:
    """Describe ``run``."""
    parser = commands.add_parser(
        "run",
        usage="%(prog)s [-h] SCRIPT ... | -m MODULE ...",
        help="start a program with the shim switched on",
        description="Start a program as Python itself would, with the shim switched on. Options "
        "of Python stand where they always do: python -u -m websockets_closefix run SCRIPT. The "
        "processes of Python 3.9 or later that it starts are covered too, also those of another "
        "environment, because they inherit PYTHONPATH; not those that are given another one, or "
        "Python's options -E, -I or -S.",
    )
    parser.add_argument("-m", action="store_true", dest="module", help="start a module")
    parser.add_argument("program", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(function=run, parser=parser)


def positive(text: str) -> int:
    """Convert an argument to a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a whole number of at least 1")
    return int(text)


def status(arguments: argparse.Namespace) -> int:
    """Print where this environment stands."""
    from . import status as page

    text, code = page.status(as_json=arguments.json)
    show(text)
    return code


def verify(arguments: argparse.Namespace) -> int:
    """Print how connections end here, without the shim and with it."""
    try:
        from . import verify as page

        report = page.verify()
    except ImportError as exc:
        print(f"websockets-closefix: websockets can't be imported: {exc}", file=sys.stderr)
        return 1
    show(json.dumps(page.as_json(report), indent=2) if arguments.json else page.as_text(report))
    return 1 if report.leaked else 0


def enable(arguments: argparse.Namespace) -> int:
    """Switch the shim on for the environment, and print what was done."""
    show("\n".join(switch.enable(site_files.folder(user=arguments.user))))
    return 0


def disable(arguments: argparse.Namespace) -> int:
    """Undo :func:`enable`, and print what was done."""
    show("\n".join(switch.disable(site_files.folder(user=arguments.user))))
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Start a program; returns on Windows alone."""
    if not arguments.program:
        arguments.parser.error("it needs a SCRIPT, or -m and a MODULE")
    return run_program.run([*(["-m"] if arguments.module else []), *arguments.program])
