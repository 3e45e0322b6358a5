"""Who comes first is served first, and who is gone is forgotten."""

from __future__ import annotations

import threading
import weakref

from websockets.sync.client import ClientConnection


class Ticket:
    """A borrower's place in the line, and the connections that he has in his hands."""

    def __init__(self) -> None:
        self.called = threading.Event()
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
        self.left = threading.Event()  # set whenever somebody may have left
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
            ticket.called.set()
        self.left.set()
