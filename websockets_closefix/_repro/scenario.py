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

    @property
    def hangs(self) -> bool:
        """Whether a thread had to be freed."""
        return isinstance(self.caller, Hangs) or isinstance(self.reader, Hangs)


def worst(raised: Iterable[BaseException | None]) -> BaseException | None:
    """Return an internal error if there is one, else a ``ConnectionClosed`` if there is one."""
    exceptions = [exc for exc in raised if exc is not None]
    return min(exceptions, key=lambda exc: isinstance(exc, ConnectionClosed), default=None)


class Scenario(NamedTuple):
    """A way to end connections that meets a bug every time."""

    bug: str
    """Name of the fix of the bug."""

    name: str
    """What happens, for a person."""

    end_connection: Callable[[str], Outcome]
    """Opens a connection, ends it and returns what came of it; takes one of SIDES."""

    without_fix: type[BaseException]
    """What comes out of one of the threads without the fix."""

    with_fix: type[BaseException] | None = None
    """What comes out of the caller with it; :obj:`None` where it returns normally."""

    causes: tuple[type, ...] = ()
    """Types that the cause of that exception may have."""

    sides: tuple[str, ...] = SIDES
    """The sides that can meet it."""

    def on_each_side(self) -> list[Outcome]:
        """End a connection on each side."""
        return [self.end_connection(side) for side in self.sides]
