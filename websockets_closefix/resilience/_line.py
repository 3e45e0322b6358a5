"""Who comes first is served first: lines of borrowers, for a pool and for each of its slots."""

from __future__ import annotations

import contextlib
import itertools
import queue
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._slot import Slot


class Line:
    """
    Borrowers, in the order in which they came.

    There is no lock that a signal handler could find locked, or leave so: joining and leaving are
    single steps, and nobody gets ahead of anybody, so whoever is among the first remains there. Nor
    is anybody counted: who was interrupted, wherever that was, is gone with his frame.

    """

    def __init__(self) -> None:
        self._refs: list[weakref.ref[Borrower]] = []

    def join(self, borrower: Borrower) -> None:
        self._refs.append(weakref.ref(borrower))
        for ref in tuple(self._refs):
            if ref() is None:  # a callback would swallow what a signal handler raises in it
                with contextlib.suppress(ValueError):  # another thread was faster
                    self._refs.remove(ref)

    def leave(self, borrower: Borrower) -> None:
        for ref in tuple(self._refs):
            if ref() is borrower:
                self._refs.remove(ref)

    def first(self, count: int | None = None) -> list[Borrower]:
        """Return so many, or all."""
        borrowers = (borrower for ref in tuple(self._refs) if (borrower := ref()))
        return list(itertools.islice(borrowers, count))


class Borrower:
    """Somebody who waits for a connection of a pool, or has one, until nobody refers to him."""

    def __init__(self) -> None:
        self.slot: Slot | None = None  # which he uses
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
