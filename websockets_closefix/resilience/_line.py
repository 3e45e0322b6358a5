"""The line of those who wait for a connection of a pool, or have one."""

from __future__ import annotations

import contextlib
import itertools
import queue
import weakref
from collections.abc import Iterator

from ._slot import Slot


class Line:
    """
    Borrowers, in the order in which they came; so many of the first are served.

    Nobody gets ahead of anybody, so whoever finds himself among the first remains there, and no
    lock is needed. Nobody is counted either: who was interrupted, wherever that was, is gone with
    his frame.

    """

    def __init__(self, served_at_once: int) -> None:
        self._served_at_once = served_at_once
        self._refs: list[weakref.ref[Borrower]] = []

    def join(self, borrower: Borrower) -> None:
        self._refs.append(weakref.ref(borrower, self._refs.remove))

    def __iter__(self) -> Iterator[Borrower]:
        for ref in tuple(self._refs):
            if (borrower := ref()) and not borrower.has_left:
                yield borrower

    def served(self) -> list[Borrower]:
        return list(itertools.islice(self, self._served_at_once))


class Borrower:
    """A place in the line, for as long as somebody refers to it."""

    def __init__(self) -> None:
        self.slot: Slot | None = None  # nobody else has it
        self.was_served = False
        self.is_content = False  # left without an exception
        self.has_left = False
        # Unlike an Event, it has no lock that stays locked if a signal handler raises.
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def call(self) -> None:
        """Wake this borrower, who waits or will."""
        if self._calls.empty():
            self._calls.put(None)

    def wait(self, timeout: float) -> None:
        """Wait until somebody calls, if nobody has yet, or until the timeout has elapsed."""
        with contextlib.suppress(queue.Empty):
            self._calls.get(timeout=timeout)
