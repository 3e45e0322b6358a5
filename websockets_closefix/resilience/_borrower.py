"""Somebody who waits for a connection of a pool, or has one."""

from __future__ import annotations

import contextlib
import queue

from websockets.sync.client import ClientConnection


class Borrower:
    """A place in the line, for as long as somebody refers to it."""

    def __init__(self) -> None:
        self.held: ClientConnection | None = None  # which nobody else touches
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
