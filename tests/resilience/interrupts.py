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


@contextlib.contextmanager
def struck(at, exception, times=1):
    """Raise at the line event of that number, and again at the next call; yield where."""
    # An instance would refer to its traceback, hence to this frame and to itself.

    def strike():
        # Python drops a trace function that raises.
        if times == 2:
            sys.setprofile(strike_again)
        raise exception

    def strike_again(frame, event, arg):
        if event == "call" and is_ours(frame):
            sys.setprofile(None)
            where.append(place_of(frame))
            raise exception

    before = sys.getprofile()
    try:
        with signalled(at, strike) as where:
            yield where
    finally:
        sys.setprofile(before)


@contextlib.contextmanager
def signalled(at, handler):
    """Call a handler at the line event of that number; yield a list that tells where."""

    def trace(frame, event, arg):
        nonlocal remaining
        if not is_ours(frame):
            return None
        if event == "line":
            remaining -= 1
            if remaining == 0:
                where.append(place_of(frame))
                handler()
        return trace

    where, remaining, before = [], at, sys.gettrace()
    sys.settrace(trace)
    try:
        yield where
    finally:
        sys.settrace(before)


def is_ours(frame):
    return frame.f_code.co_filename.startswith(FOLDER)


def place_of(frame):
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
