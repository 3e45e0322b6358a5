"""The command line: ``python -m websockets_closefix``, also ``websockets-closefix``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import websockets_closefix


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Args:
        argv: Arguments; by default those of the process.

    Returns:
        Exit code: 0 where closing a connection is safe, 1 where it isn't.

    Raises:
        SystemExit: With code 2, after one line on stderr, if the arguments are wrong.

    """
    arguments = parser().parse_args(argv)
    try:
        import_websockets()
    except Exception as exc:
        reason = f"websockets.sync can't be imported here ({exc}): there is nothing to examine"
        print(f"websockets-closefix: {reason}", file=sys.stderr)
        return 1
    # Without websockets.sync there is nothing to verify, and the status says so.
    if arguments.command == "verify" and websockets_closefix.CONNECTION_MODULE in sys.modules:
        return verify(arguments.trials, as_json=arguments.json)
    return status(as_json=arguments.json)


def parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    root = Parser(
        prog="websockets-closefix",
        description="Cures the close race of websockets 13.1, 14.0 and 14.1. "
        "Without a command: status.",
    )
    root.add_argument("--version", action="version", version=websockets_closefix.__version__)
    root.set_defaults(command="status", json=False)
    commands = root.add_subparsers(dest="command", metavar="COMMAND")
    status_parser = commands.add_parser(
        "status",
        help="tell whether closing a connection is safe here",
        description="Examine the installed websockets. Exit 0 where closing is safe, else 1.",
    )
    verify_parser = commands.add_parser(
        "verify",
        help="provoke the race here, without the shim and with it",
        description="Provoke the race on connections to 127.0.0.1, first without the shim and "
        "then with it. Exit 0 where nothing leaked with the shim, else 1.",
    )
    verify_parser.add_argument(
        "--trials",
        metavar="N",
        type=positive,
        default=300,
        help="how many connections to close without forcing anything (default: %(default)s)",
    )
    for command in (status_parser, verify_parser):
        command.add_argument("--json", action="store_true", help="print JSON")
    return root


class Parser(argparse.ArgumentParser):
    """Says in one line what was wrong; ``--help`` is there for the rest."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def positive(text: str) -> int:
    """Convert an argument to a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a whole number of at least 1")
    return int(text)


def import_websockets() -> None:
    """Have the installed websockets examined, though nobody in this process has needed it yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the verdict is about to be printed anyway
        importlib.import_module("websockets")
        if websockets_closefix.status().state != "not-affected":  # it is, if it has no sync
            importlib.import_module(websockets_closefix.CONNECTION_MODULE)


def status(*, as_json: bool) -> int:
    """Print where this environment stands."""
    found = websockets_closefix.status()
    print(json.dumps(found._asdict(), indent=2) if as_json else f"{found.state}: {found}")
    return 0 if found.state in ("applied", "not-affected") else 1


def verify(trials: int, *, as_json: bool) -> int:
    """Print what closing does here, without the shim and with it."""
    from . import _verify

    report = _verify.verify(trials, rewrite_line if sys.stderr.isatty() else None)
    print(json.dumps(_verify.as_json(report), indent=2) if as_json else _verify.as_text(report))
    return 1 if report.leaked else 0


def rewrite_line(text: str) -> None:
    """Show ``text`` in the place of what was shown before."""
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
