"""Has a signal handler run, or raise, at any line of the application layer that one chooses."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from websockets_closefix import resilience

FOLDER = str(Path(resilience.__file__).parent)


class TimeLimit(BaseException):
    """As a time limit does it, so that it isn't taken for an error."""


class Failure(Exception):
    """As a time limit shouldn't do it, but does: websockets handles an Exception differently."""


def struck(at, exc, times=1):
    """Raise at the line event of that number, and at those after it; yield a list of where."""

    def strike():
        raise exc

    return signalled(at, strike, times)


@contextlib.contextmanager
def signalled(at, handler, times=1):
    """Call a handler at the line event of that number, and at those after it; yield where."""

    def trace(frame, event, arg):
        nonlocal remaining
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        if event == "line":
            remaining -= 1
            if -times < remaining <= 0:
                where.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
                handler()
        return trace

    where, remaining, before = [], at, sys.gettrace()
    sys.settrace(trace)
    try:
        yield where
    finally:
        sys.settrace(before)
