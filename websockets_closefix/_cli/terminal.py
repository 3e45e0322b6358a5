"""How the command line prints, whatever standard output and its reader are like."""

from __future__ import annotations

import argparse
import io
import os
import sys
from typing import Any, NoReturn

import websockets_closefix


def escape_what_cannot_be_encoded() -> None:
    """Have an ASCII output show a path with other letters in it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def show(text: str, end: str = "\n") -> None:
    """Print; a reader who has left, as head does, changes neither output nor exit code."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        # Python is going to flush it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def rewrite_line(text: str) -> None:
    """Show ``text`` in the place of what was shown before."""
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


class Parser(argparse.ArgumentParser):
    """Says in one line what was wrong; ``--help`` is there for the rest."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def print_help(self, file: Any = None) -> None:
        """Print it as anything else; argparse minds a reader who leaves before Python 3.11."""
        show(self.format_help(), end="")


class Version(argparse.Action):
    """Prints the version as anything else is printed."""

    def __call__(self, *_: Any) -> NoReturn:
        """Exit with code 0."""
        show(websockets_closefix.__version__)
        sys.exit(0)
