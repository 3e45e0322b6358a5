"""Who comes first is served first, and who is gone is forgotten."""

from __future__ import annotations

import contextlib
import queue
import weakref

from websockets.sync.client import ClientConnection


class Bell:
    """
    As :class:`threading.Event`, but for one who waits, and who mustn't keep anybody else waiting.

    An event has a lock in it, which stays locked if a signal handler raises in the wrong place.

    """

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
        """Wake whoever waits, or will."""
        if self._rings.empty():
            self._rings.put(None)

    def wait(self, timeout: float) -> None:
        """Wait until it rings, if it hasn't yet, or until the timeout has elapsed."""
        with contextlib.suppress(queue.Empty):
            self._rings.get(timeout=timeout)


class Ticket:
    """A borrower's place in the line, and the connections that he has in his hands."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.held: tuple[ClientConnection, ...] = ()
        self.is_lent = False
        self.is_reusable = False
        self.is_over = False


class Line:
    """
    Borrowers in the order in which they came.

    It has no lock of its own, and keeps nobody: a borrower who was interrupted, wherever that
    was, takes his ticket with him and is gone from the line.

    """

    def __init__(self) -> None:
        self.bell = Bell()  # rings whenever somebody may have left
        self._tickets: list[weakref.ref[Ticket]] = []

    def join(self, ticket: Ticket) -> None:
        """Take the last place."""
        self._tickets.append(weakref.ref(ticket))

    def tickets(self) -> list[Ticket]:
        """Return who is in the line, in order."""
        tickets = [ticket for ref in self._tickets if (ticket := ref()) and not ticket.is_over]
        self._tickets = [weakref.ref(ticket) for ticket in tickets]
        return tickets

    def call(self, size: int | None) -> None:
        """Wake those who are first, or everybody, and whoever waits for the line to end."""
        for ticket in self.tickets()[:size]:
            ticket.bell.ring()
        self.bell.ring()
