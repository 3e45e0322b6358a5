"""What reproduces a bug: a way to end connections, and how they end without the fix and with it."""

from __future__ import annotations

from typing import Callable, NamedTuple

from .observing import Outcome

SIDES = ("client", "server")


class Scenario(NamedTuple):
    """A way to end connections that meets a bug every time."""

    bug: str
    """Name of the fix of the bug."""

    name: str
    """What happens, for a person."""

    end_connection: Callable[[str], Outcome]
    """Opens a connection, ends it and tells what came of it; takes one of SIDES."""

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
