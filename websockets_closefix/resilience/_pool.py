"""A pool of connections to one server, with the names of psycopg's pool."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import ClientConnection

from ._arguments import check_count, check_seconds, check_uri
from ._ending import FAREWELL_TIMEOUT, hang_up
from ._line import Borrower, Line
from ._locked import locked
from ._slot import NEVER, Slot, connections_in, empty
from ._state import answers_ping, is_open, is_quiet, settles, wait_until

CLOSE_TIMEOUT = 1.0
"""Seconds for the closing handshakes of connections that aren't lent any more."""

PING_AFTER = 1.0
"""Seconds after which an idle connection has to answer a ping before it is lent."""

PING_TIMEOUT = 2.0
"""Seconds for that answer."""

SETTLE_TIMEOUT = 0.1
"""Seconds for the reader thread to take in what has arrived when a connection is returned."""

RECHECK_INTERVAL = 0.5
"""Seconds after which whoever waits looks himself: who ought to call him may be interrupted."""

ONE_DAY = 86400.0
"""Seconds for connecting without an ``open_timeout``; a socket can't have an infinite number."""

COUNTS = (
    "requests_num",
    "requests_queued",
    "requests_wait_ms",
    "requests_errors",
    "returns_bad",
    "connections_num",
    "connections_errors",
    "connections_lost",
)


class PoolTimeout(TimeoutError):
    """Raised when no connection could be had in time."""


class PoolClosed(RuntimeError):
    """Raised when a pool is used after it was closed."""


class ConnectionPool:
    """
    Lend open connections to threads, one borrower at a time, first come first served.

    ::

        with ConnectionPool("wss://example.com", max_size=4) as pool:
            with pool.connection() as websocket:
                websocket.send("question")
                answer = websocket.recv()

    A connection is lent again if its borrower left without an exception. It's closed instead if
    it's broken, too old, or has messages that nobody has read. One that has been idle for a while
    has to answer a ping first, because a half-open connection looks open.

    A pool has no thread of its own: what is too old or dead is dropped when the pool is used. In
    a forked process it starts empty, and leaves the connections of the parent alone.

    Args:
        uri: URI of the WebSocket server.
        max_size: Connections to have open at most. It defaults to 4.
        timeout: Seconds that :meth:`connection` waits at most. It defaults to 30.
        max_idle: Seconds after which a connection that nobody wants isn't lent any more. It
            defaults to 600.
        max_lifetime: Seconds after which a connection isn't lent any more. It defaults to 3600.
        max_message_size: Bytes of an incoming message at most, or :obj:`None`: what ``max_size``
            is to :func:`~websockets.sync.client.connect`. It defaults to 1 MiB.
        connect_kwargs: As for :func:`~websockets.sync.client.connect`, but for ``sock``.

    Raises:
        ValueError: If an argument is out of its range, or ``uri`` isn't a WebSocket URI.

    """

    def __init__(
        self,
        uri: str,
        *,
        max_size: int = 4,
        timeout: float = 30,
        max_idle: float = 600,
        max_lifetime: float = 3600,
        max_message_size: int | None = 2**20,
        **connect_kwargs: Any,
    ) -> None:
        self.uri: str = check_uri(uri)
        self.max_size: int = check_count("max_size", max_size, at_least=1)
        self.timeout: float = check_seconds("timeout", timeout)
        self.max_idle: float = check_seconds("max_idle", max_idle)
        self.max_lifetime: float = check_seconds("max_lifetime", max_lifetime)
        if "sock" in connect_kwargs:
            raise ValueError("sock is a single connection's: let the pool open its own")
        # Lest connect() call getLogger(), which keeps a lock if a signal handler raises in it.
        connect_kwargs.setdefault("logger", logging.getLogger("websockets.client"))
        self._connect_kwargs = {**connect_kwargs, "max_size": max_message_size}
        self._closed = False
        self._start_empty()
        pools.add(self)

    def _start_empty(self) -> None:
        self._slots = [Slot() for _ in range(self.max_size)]
        self._line = Line(self.max_size)
        self._lost_since = NEVER  # what has been idle for longer is taken for lost
        self._counts = collections.Counter(dict.fromkeys(COUNTS, 0))
        # Re-entrant, since a signal handler may borrow, too. Nobody waits for anything with it.
        self._lock = threading.RLock()

    def __enter__(self) -> ConnectionPool:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @contextlib.contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[ClientConnection]:
        """
        Lend a connection for the length of a block.

        Args:
            timeout: Seconds to wait at most; by default the pool's.

        Raises:
            PoolTimeout: If no connection can be had in time.
            PoolClosed: If the pool is closed, before or meanwhile.
            Exception: What :func:`~websockets.sync.client.connect` raises, if there is room for
                a new connection and it cannot be opened.

        """
        borrower = Borrower()
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            try:
                yield self._serve(borrower, deadline)
                borrower.is_content = True
            finally:
                self._take_back(borrower)
        finally:
            self._take_back(borrower)  # does something only if an exception kept the first from it

    def close(self, timeout: float = 5) -> None:
        """
        Close all connections; closing a closed pool does nothing.

        Threads that wait for a connection get :exc:`PoolClosed`. Those that have one may finish;
        after ``timeout``, their connections are cut.

        Args:
            timeout: Seconds to wait for borrowers. It defaults to 5. Peers that don't answer a
                close frame may take a few more.

        """
        deadline = time.monotonic() + timeout
        self._closed = True
        for borrower in self._line:
            borrower.call()
        wait_until(lambda: not any(self._line), deadline - time.monotonic())
        empty(locked(self._lock, self._free), CLOSE_TIMEOUT)
        for websocket in connections_in(self._slots):
            hang_up(websocket.socket)

    def get_stats(self) -> dict[str, int]:
        """
        Return what the pool has and what it has done, under psycopg's names.

        Returns:
            ``pool_max``, ``pool_size`` (open), ``pool_available`` (idle), ``requests_waiting``;
            and since the pool was made: ``requests_num``, ``requests_queued`` (those that had to
            wait), ``requests_wait_ms``, ``requests_errors`` (those that got no connection),
            ``returns_bad`` (discarded after use), ``connections_num`` (attempts to connect),
            ``connections_errors`` (failed ones), ``connections_lost`` (died while nobody had
            them, and were replaced when needed).

        """
        return {
            "pool_max": self.max_size,
            "pool_size": len(connections_in(self._slots)),
            "pool_available": sum(slot.idle_since > NEVER for slot in self._slots),
            "requests_waiting": max(0, len(list(self._line)) - self.max_size),
            **self._counts,
        }

    def _serve(self, borrower: Borrower, deadline: float) -> Any:
        self._count(requests_num=1)
        self._line.join(borrower)
        self._wait_for_turn(borrower, deadline)
        slot = locked(self._lock, self._hand_over, borrower)
        while slot.websocket is not None and not self._is_lendable(slot, deadline):
            self._count(connections_lost=1)
            empty([slot], FAREWELL_TIMEOUT)  # which the borrower waits, too
            slot = locked(self._lock, self._hand_over, borrower)
        websocket = self._open(slot, deadline) if slot.websocket is None else slot.websocket
        if self._closed:
            raise PoolClosed("the pool was closed meanwhile")
        slot.idle_since = NEVER
        borrower.was_served = True
        return websocket

    def _take_back(self, borrower: Borrower) -> None:
        if borrower.has_left:
            return
        slot = borrower.slot
        if slot is not None and slot.websocket is not None:
            if borrower.is_content and settles(slot.websocket, SETTLE_TIMEOUT):
                slot.idle_since = time.monotonic()
            if not self._is_fit(slot):
                empty([slot], CLOSE_TIMEOUT)
                self._count(returns_bad=borrower.was_served)
        self._count(requests_errors=not borrower.was_served)
        borrower.has_left = True
        for served in self._line.served():
            served.call()

    def _wait_for_turn(self, borrower: Borrower, deadline: float) -> None:
        self._count(requests_queued=borrower not in self._line.served())
        while not (self._closed or borrower in self._line.served()):
            now = time.monotonic()
            if now >= deadline:
                raise PoolTimeout(f"nobody returned one of {self.max_size} connections in time")
            borrower.wait(min(deadline - now, RECHECK_INTERVAL))
            self._count(requests_wait_ms=round(1000 * (time.monotonic() - now)))

    def _hand_over(self, borrower: Borrower) -> Slot:
        """Hand over a slot that nobody has: one to be emptied, or else the one used last."""
        if self._closed:  # what nobody has is close()'s now
            raise PoolClosed("the pool is closed")
        borrower.slot = None
        free = self._free()
        unfit = (slot for slot in free if slot.websocket is not None and not self._is_fit(slot))
        borrower.slot = next(unfit, None) or max(free, key=lambda slot: slot.idle_since)
        return borrower.slot

    def _free(self) -> list[Slot]:
        """Return the slots that nobody has, those of interrupted borrowers among them."""
        taken = {borrower.slot for borrower in self._line}
        return [slot for slot in self._slots if slot not in taken]

    def _is_fit(self, slot: Slot) -> bool:
        now, websocket = time.monotonic(), slot.websocket
        return (
            websocket is not None
            and is_open(websocket)
            and is_quiet(websocket)
            and not self._closed
            and slot.opened_at > now - self.max_lifetime
            and slot.idle_since > max(now - self.max_idle, self._lost_since)
        )

    def _is_lendable(self, slot: Slot, deadline: float) -> bool:
        now = time.monotonic()
        if not self._is_fit(slot) or now - slot.idle_since < PING_AFTER:
            return self._is_fit(slot)
        if now >= deadline:
            raise PoolTimeout("there is no time to see whether a connection is alive")
        # Half of the time that is left is for opening another one.
        timeout = min(PING_TIMEOUT, (deadline - now) / 2)
        if answers_ping(slot.websocket, timeout):
            return self._is_fit(slot)
        if timeout == PING_TIMEOUT:
            self._lost_since = max(self._lost_since, slot.idle_since)
        return False

    def _open(self, slot: Slot, deadline: float) -> Any:
        if (remaining := deadline - time.monotonic()) <= 0:
            raise PoolTimeout("no connection that is alive was found in time")
        limit = self._connect_kwargs.get("open_timeout", 10)  # as in connect()
        open_timeout = min(remaining, ONE_DAY if limit is None else limit)
        self._count(connections_num=1)
        try:
            return slot.open(self.uri, **{**self._connect_kwargs, "open_timeout": open_timeout})
        except Exception as exc:
            self._count(connections_errors=1)
            if self._closed:
                raise PoolClosed("the pool was closed meanwhile") from exc
            if isinstance(exc, OSError) and time.monotonic() >= deadline:
                raise PoolTimeout("couldn't connect in time") from exc
            raise

    def _count(self, **counts: int) -> None:
        locked(self._lock, self._counts.update, counts)


pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


def start_empty_in_child() -> None:
    for pool in tuple(pools):
        for slot in pool._slots:
            slot.leave_to_parent()
        pool._start_empty()


with contextlib.suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=start_empty_in_child)
