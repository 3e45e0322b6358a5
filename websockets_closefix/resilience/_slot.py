"""
Slots for connections, and the lines of borrowers in front of them.

There is no lock that a signal handler could find locked, or leave locked by raising: joining and
leaving a line are single steps. Nor is anything counted: lines refer to borrowers weakly, so that
an interrupted borrower is gone together with its frame.

"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import socket
import time
import weakref
from collections.abc import Collection, Iterable
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

from ._connection import (
    POLL_INTERVAL,
    SEND_TIMEOUT,
    end_all,
    has_ended,
    in_background,
    shut_down,
    wait_until,
)

NEVER = float("-inf")

# Else connect() calls getLogger(), which keeps a lock if a signal handler raises in it.
LOGGER: Any = logging.getLogger("websockets.client")


class Borrower:
    """A thread that waits for a connection of a pool, or has one."""

    def __init__(self) -> None:
        self.place = weakref.ref(self)
        self.slot: Slot | None = None
        self.is_called = False  # by another, because it has come to the front of the line
        self.was_served = False
        self.has_finished = False  # without an exception
        self.has_left = False
        # Unlike an Event, it has no lock that stays locked if a signal handler raises.
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def call(self) -> None:
        """Wake this borrower, now or as soon as it waits."""
        self.is_called = True
        if self._calls.empty():
            self._calls.put(None)

    def wait(self, timeout: float) -> None:
        """Wait until this borrower is called or the timeout has elapsed."""
        with contextlib.suppress(queue.Empty):
            # Up to 3.12, get() may wait for good, if a call that was taken without waiting has
            # left its lock free and the timeout elapses just then. This takes the lock.
            self._calls.get_nowait()
            return
        with contextlib.suppress(queue.Empty):
            self._calls.get(timeout=timeout)


class Line:
    """Borrowers, in the order in which they came; the first ``count`` are served."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._places: list[weakref.ref[Borrower]] = []

    def join(self, borrower: Borrower) -> None:
        """Add a borrower at the end."""
        self._places.append(borrower.place)

    def leave(self, borrower: Borrower) -> None:
        """Remove a borrower, if it's in the line."""
        self._remove(borrower.place)

    def serves(self, borrower: Borrower) -> bool:
        """Tell whether a borrower is among the first; it stays so until it leaves."""
        if borrower.place in self._places[: self._count]:
            return True
        for place in self._places[: self._count]:
            if place() is None:  # a callback would swallow what a signal handler raises in it
                self._remove(place)
        return borrower.place in self._places[: self._count]

    def call(self) -> None:
        """Wake the borrowers that have come to the front of the line."""
        for place in reversed(self._places[: self._count]):
            if (borrower := place()) is not None:
                if borrower.is_called:  # and so are those before it, or are just being called
                    break
                borrower.call()

    def borrowers(self) -> list[Borrower]:
        """Return all borrowers that are in the line."""
        return [borrower for place in tuple(self._places) if (borrower := place()) is not None]

    def _remove(self, place: weakref.ref[Borrower]) -> None:
        with contextlib.suppress(ValueError):  # another thread was faster
            self._places.remove(place)


class Slot:
    """Room for one connection, which only its first claimant opens, lends or ends."""

    def __init__(self) -> None:
        self.websocket: Any = None  # or a ClientConnection
        self.opened_at = NEVER
        self.idle_since = NEVER  # when it was returned in order, unless it has been lent since
        self.ping: Ping | None = None  # whose pong there was no time to wait for
        self.claims = Line(1)

    def claim(self, borrower: Borrower) -> bool:
        """Return whether the slot is now the borrower's alone."""
        self.claims.join(borrower)
        if self.claims.serves(borrower):
            return True
        self.claims.leave(borrower)
        return False

    def is_claimed(self) -> bool:
        """Tell whether a borrower has the slot."""
        return bool(self.claims.borrowers())

    def is_waiting_for_pong(self) -> bool:
        """Tell whether the connection may still answer its latest ping."""
        ping = self.ping
        return ping is not None and ping.is_pending()

    def open(self, uri: Any, **kwargs: Any) -> Any:
        """Connect as ``connect()`` does; even if it's interrupted, the connection isn't lost."""
        create = kwargs.pop("create_connection", None) or ClientConnection
        kwargs["logger"] = kwargs.get("logger") or LOGGER
        kwargs["create_connection"] = functools.partial(self._create, create)
        if callable(headers := kwargs.get("additional_headers")):
            kwargs["additional_headers"] = headers()
        # As a context manager, because 17.1 deprecates anything else.
        return connect(uri() if callable(uri) else uri, **kwargs).__enter__()

    def _create(self, create: Any, sock: socket.socket, *args: Any, **kwargs: Any) -> Any:
        try:
            self.opened_at = time.monotonic()
            self.websocket = create(sock, *args, **kwargs)  # its handshake comes later
            return self.websocket
        except BaseException:
            # Its reader thread, if it has got one, closes the socket. If connect() were faster,
            # that thread wouldn't wake up.
            shut_down(sock)
            wait_until(lambda: sock.fileno() == -1, SEND_TIMEOUT)
            raise

    def leave_to_parent(self) -> None:
        """Close a forked child's copies of the descriptors, of which the peer isn't told."""
        websocket, self.websocket = self.websocket, None
        for name in ("socket", "shutdown_watcher", "shutdown_notifier"):  # two are of 17.0
            if hasattr(websocket, name):
                getattr(websocket, name).close()


class Ping:
    """A ping, for whose pong several borrowers may wait, one after the other."""

    def __init__(self, websocket: Connection, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout
        self._is_answered: bool | None = None
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()
        # In the background, because ping() waits close_timeout where the peer has just begun to
        # close. Where no thread can be started the connection is used unasked, as without a pool.
        if not in_background(self._ask, websocket):
            self._is_answered = True

    def _ask(self, websocket: Connection) -> None:
        try:
            pong = websocket.ping()
            # It's never set if the connection ends meanwhile.
            while not (pong.wait(POLL_INTERVAL) or has_ended(websocket) or self._is_late()):
                pass
            self._is_answered = pong.is_set()
        except Exception:  # ConnectionClosed; without the shim, the close race
            self._is_answered = False
        self._calls.put(None)

    def _is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def is_answered(self, timeout: float) -> bool | None:
        """Wait, and tell whether there was a pong; :obj:`None` if there may still be one."""
        timeout = min(timeout, self._deadline - time.monotonic())
        if self._is_answered is None and timeout > 0:
            with contextlib.suppress(queue.Empty):
                self._calls.get(timeout=timeout)
        return False if self._is_answered is None and self._is_late() else self._is_answered

    def is_pending(self) -> bool:
        """Tell whether there may still be a pong."""
        return self._is_answered is None

    def is_outdated(self) -> bool:
        """Tell whether there was a pong, but so long ago that it proves nothing any more."""
        return self._is_answered is True and self._is_late()


def connections_in(slots: Iterable[Slot]) -> list[ClientConnection]:
    """Return the connections that are in slots."""
    return [each for each in [slot.websocket for slot in slots] if each is not None]


def empty(slots: Collection[Slot], timeout: float) -> None:
    """End the connections that are in slots, in bounded time."""
    end_all(connections_in(slots), timeout)
    for slot in slots:
        slot.idle_since, slot.ping, slot.websocket = NEVER, None, None


def shut_down_all(slots: Iterable[Slot]) -> None:
    """Shut down the connections that are in slots, without a closing handshake."""
    for websocket in connections_in(slots):
        shut_down(websocket.socket)
