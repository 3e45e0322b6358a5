"""What reproduces a bug: a way to end connections, and how they end without the fix and with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable, NamedTuple

from websockets.exceptions import ConnectionClosed

SIDES = ("client", "server")


class Hangs(Exception):
    """What ``Outcome`` holds for a thread that hadn't come back and had to be freed."""


class Outcome(NamedTuple):
    """What a scenario ended in: an exception, or :obj:`None` for a thread that raised none."""

    caller: BaseException | None
    reader: BaseException | None

    @property
    def leaked(self) -> bool:
        """Whether the caller raised anything but ``ConnectionClosed``, or the reader anything."""
        closed = self.caller is None or isinstance(self.caller, ConnectionClosed)
        return not closed or self.reader is not None


def worst(raised: Iterable[BaseException | None]) -> BaseException | None:
    """Return an internal error if there is one, else a ``ConnectionClosed`` if there is one."""
    exceptions = [exc for exc in raised if exc is not None]
    return min(exceptions, key=lambda exc: isinstance(exc, ConnectionClosed), default=None)


class Scenario(NamedTuple):
    """
    A way to end connections that meets a bug every time.

    Attributes:
        bug: Name of the fix of the bug.
        name: What happens, for a person.
        end_connection: Opens a connection, ends it and returns what came of it; takes a side.
        without_fix: What comes out of one of the threads without the fix.
        with_fix: What comes out of the caller with it; :obj:`None` where it returns normally.
        causes: Types that the cause of that exception may have.
        sides: The sides that can meet it.

    """

    bug: str
    name: str
    end_connection: Callable[[str], Outcome]
    without_fix: type[BaseException]
    with_fix: type[BaseException] | None = None
    causes: tuple[type, ...] = ()
    sides: tuple[str, ...] = SIDES

    def on_each_side(self) -> list[Outcome]:
        """End a connection on each side."""
        return [self.end_connection(side) for side in self.sides]
