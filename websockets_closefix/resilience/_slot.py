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
import sys
import threading
import time
import weakref
from collections.abc import Collection
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection

from ._connection import SEND_TIMEOUT, close, has_ended, in_background, shut_down, wait_until

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
        # Unlike an Event, it has no lock that stays locked if a signal handler raises.
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def call(self) -> None:
        """Wake this borrower, now or as soon as it waits."""
        self.is_called = True
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


class Line(list["weakref.ref[Borrower]"]):
    """The places of borrowers, in the order in which they came; the first ``count`` are served."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def leave(self, place: weakref.ref[Borrower]) -> None:
        """Remove a place, if it's in the line."""
        with contextlib.suppress(ValueError):
            self.remove(place)

    def serves(self, borrower: Borrower) -> bool:
        """Tell whether a borrower is among the first; it stays so until it leaves."""
        for place in self[: self._count]:
            if place() is None:  # a callback would swallow what a signal handler raises in it
                self.leave(place)
        return borrower.place in self[: self._count]

    def call(self) -> None:
        """Wake the borrowers that have come to the front of the line."""
        for place in self[: self._count]:
            if (borrower := place()) is not None and not borrower.is_called:
                borrower.call()

    def borrowers(self) -> list[Borrower]:
        """Return all borrowers that are in the line."""
        return [borrower for place in tuple(self) if (borrower := place()) is not None]


class Slot:
    """Room for one connection, which only its first claimant opens, lends or ends."""

    def __init__(self) -> None:
        self.websocket: Any = None  # or a ClientConnection
        self.opened_at = NEVER
        self.idle_since = NEVER  # when it was returned in order, unless it has been lent since
        self.trusted_until = NEVER  # when it has to answer a ping before it's lent
        self.claims = Line(1)

    def claim(self, borrower: Borrower) -> bool:
        """Return whether the slot is now the borrower's alone."""
        self.claims.append(borrower.place)
        if self.claims.serves(borrower):
            return True
        self.claims.leave(borrower.place)
        return False

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
        for name in ("socket", "shutdown_watcher", "shutdown_notifier"):  # two are of 17.0
            if hasattr(self.websocket, name):
                getattr(self.websocket, name).close()


def connections_in(slots: Collection[Slot]) -> list[ClientConnection]:
    """Return the connections that are in slots."""
    return [each for slot in tuple(slots) if (each := slot.websocket) is not None]


def shut_down_all(slots: Collection[Slot]) -> None:
    """Shut down the connections that are in slots, without a closing handshake."""
    for websocket in connections_in(slots):
        shut_down(websocket.socket)


def empty(slots: Collection[Slot], timeout: float) -> None:
    """End the connections that are in slots; all closing handshakes together may take timeout."""

    def alive() -> list[ClientConnection]:
        return [websocket for websocket in websockets if not has_ended(websocket)]

    websockets = connections_in(slots)
    given_up: list[Connection] = []
    readers = [websocket.recv_events_thread for websocket in websockets]
    # They run no more; or this is one of them, in which garbage is collected.
    if sys.is_finalizing() or threading.current_thread() in readers:
        timeout = SEND_TIMEOUT
    try:
        for websocket in alive():
            if not in_background(close, websocket, timeout + SEND_TIMEOUT, given_up):
                close(websocket, 0, given_up)
        wait_until(lambda: all(websocket in given_up for websocket in alive()), timeout)
    finally:  # even if a signal handler raises
        shut_down_all(slots)
    wait_until(lambda: not alive(), SEND_TIMEOUT)
    for websocket in alive():
        in_background(websocket.close_socket)  # its reader thread waits for a lock
    for slot in slots:
        slot.idle_since, slot.websocket = NEVER, None
