"""Room for one of the connections that a pool may have open."""

from __future__ import annotations

import functools
import logging
import socket
import time
from collections.abc import Collection, Iterable
from typing import Any

from websockets.sync.client import ClientConnection, connect

from ._ending import FAREWELL_TIMEOUT, end_all, hang_up
from ._line import Borrower, Line
from ._ping import Ping
from ._state import wait_until

NEVER = float("-inf")

# Else connect() calls getLogger(), which keeps a lock if a signal handler raises in it.
LOGGER: Any = logging.getLogger("websockets.client")


class Slot:
    """Room for one connection. Only who has the slot to himself opens it, uses it or ends it."""

    def __init__(self) -> None:
        self.websocket: Any = None  # or a ClientConnection
        self.opened_at = NEVER
        self.idle_since = NEVER  # when it came back in order, if nobody has used it since
        self.ping: Ping | None = None  # that nobody had the time to see answered
        self.line = Line()  # whose first has the slot to himself

    def claim(self, borrower: Borrower) -> bool:
        """Return whether the borrower has the slot to himself now."""
        if self.line.first(1):
            return False
        self.line.join(borrower)
        if self.line.first(1) == [borrower]:
            return True
        self.line.leave(borrower)  # another one was faster
        return False

    def open(self, uri: str, **kwargs: Any) -> Any:
        """Connect as ``connect()`` does; whatever interrupts it, the connection isn't lost."""
        create = kwargs.pop("create_connection", None) or ClientConnection
        kwargs["logger"] = kwargs.get("logger") or LOGGER
        kwargs["create_connection"] = functools.partial(self._create, create)
        # As a context manager, because 17.1 deprecates anything else.
        return connect(uri, **kwargs).__enter__()

    def _create(self, create: Any, sock: socket.socket, *args: Any, **kwargs: Any) -> Any:
        try:
            self.opened_at = time.monotonic()
            self.websocket = create(sock, *args, **kwargs)  # its handshake comes later
            return self.websocket
        except BaseException:
            # Its reader thread, if it has got one, closes the socket. If connect() were faster,
            # that thread wouldn't wake up.
            hang_up(sock)
            wait_until(lambda: sock.fileno() == -1, FAREWELL_TIMEOUT)
            raise

    def leave_to_parent(self) -> None:
        """In a forked child, close its copies of the descriptors; nobody hears of it."""
        websocket, self.websocket = self.websocket, None
        for name in ("socket", "shutdown_watcher", "shutdown_notifier"):  # two are of 17.0
            if hasattr(websocket, name):
                getattr(websocket, name).close()


def connections_in(slots: Iterable[Slot]) -> list[ClientConnection]:
    return [each for each in [slot.websocket for slot in slots] if each is not None]


def empty(slots: Collection[Slot], timeout: float) -> None:
    """End what is in slots, in bounded time."""
    end_all(connections_in(slots), timeout)
    for slot in slots:
        slot.idle_since, slot.ping, slot.websocket = NEVER, None, None


def hang_up_all(slots: Iterable[Slot]) -> None:
    """Shut down what is in slots, without a word."""
    for websocket in connections_in(slots):
        hang_up(websocket.socket)
