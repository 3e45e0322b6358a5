"""A pool of connections to one server, with the names of psycopg's pool."""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import ClientConnection

from ._arguments import check_count, check_seconds, check_uri
from ._background import in_background
from ._ending import FAREWELL_TIMEOUT
from ._line import Borrower, Line
from ._ping import Ping
from ._slot import NEVER, Slot, connections_in, empty, hang_up_all
from ._state import POLL_INTERVAL, is_open, is_quiet, settles, wait_until

CLOSE_TIMEOUT = 1.0
"""Seconds for the closing handshakes of connections that aren't lent any more."""

PING_AFTER = 1.0
"""Seconds after which an idle connection has to answer a ping before it is lent."""

PING_TIMEOUT = 2.0
"""Seconds for that answer."""

SETTLE_TIMEOUT = 1.0
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

    A pool has no thread of its own, but for the moment in which a connection is asked or ended:
    what is too old or dead is dropped when the pool is used. In a forked process it starts empty,
    and leaves the connections of the parent alone.

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
        self._connect_kwargs = {**connect_kwargs, "max_size": max_message_size}
        self._closed = False
        self._slots: list[Slot] = []
        self._start_empty()
        # A pool that nobody has any more leaves no connection open.
        weakref.finalize(self, hang_up_all, self._slots).atexit = False
        pools.add(self)

    def _start_empty(self) -> None:
        self._slots[:] = [Slot() for _ in range(self.max_size)]
        self._line = Line()
        self._lost_since = NEVER  # what has been idle for longer is taken for lost
        self._counts = dict.fromkeys(COUNTS, 0)

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
        closer = Borrower()
        for slot in self._slots:
            slot.line.join(closer)
        for borrower in self._line.first():
            borrower.call()
        self._end_unborrowed()
        wait_until(lambda: not self._line.first(), deadline - time.monotonic())
        self._end_unborrowed()
        hang_up_all(filter(None, [borrower.slot for borrower in self._line.first()]))

    def get_stats(self) -> dict[str, int]:
        """
        Return what the pool has and what it has done, under psycopg's names.

        Returns:
            ``pool_max``, ``pool_size`` (open), ``pool_available`` (idle), ``requests_waiting``;
            and since the pool was made: ``requests_num``, ``requests_queued`` (those that had to
            wait), ``requests_wait_ms``, ``requests_errors`` (those that got no connection),
            ``returns_bad`` (discarded after use), ``connections_num`` (attempts to connect),
            ``connections_errors`` (failed ones), ``connections_lost`` (died while nobody had
            them, and were replaced when needed). They are counted without a lock, so that one may
            be missed on Python 3.9 or without a GIL.

        """
        return {
            "pool_max": self.max_size,
            "pool_size": len(connections_in(self._slots)),
            "pool_available": sum(slot.idle_since > NEVER for slot in self._slots),
            "requests_waiting": len(self._line.first()[self.max_size :]),
            **self._counts,
        }

    def _end_unborrowed(self) -> None:
        borrowers = self._line.first()
        empty([s for s in self._slots if s.line.first(1)[0] not in borrowers], CLOSE_TIMEOUT)

    def _serve(self, borrower: Borrower, deadline: float) -> Any:
        self._count(requests_num=1)
        self._line.join(borrower)
        self._wait_for_turn(borrower, deadline)
        slot = self._claim(borrower, deadline)
        while not (slot.websocket is None or self._is_alive(slot, deadline) or self._closed):
            borrower.slot = None
            slot.line.leave(borrower)
            slot = self._claim(borrower, deadline)
        websocket = self._open(slot, deadline) if slot.websocket is None else slot.websocket
        if self._closed:
            raise PoolClosed("the pool was closed meanwhile")
        slot.idle_since = NEVER
        borrower.was_served = True
        return websocket

    def _take_back(self, borrower: Borrower) -> None:
        if borrower.has_left:
            return
        if borrower.slot is not None and borrower.slot.websocket is not None:
            if borrower.is_content and settles(borrower.slot.websocket, SETTLE_TIMEOUT):
                borrower.slot.idle_since = time.monotonic()
            if not self._is_fit(borrower.slot):
                empty([borrower.slot], CLOSE_TIMEOUT)
                self._count(returns_bad=borrower.was_served)
        borrower.slot = None  # from now on it may be another's
        for slot in self._slots:
            slot.line.leave(borrower)
        self._count(requests_errors=not borrower.was_served)
        self._line.leave(borrower)
        borrower.has_left = True
        for served in self._served():
            served.call()

    def _served(self) -> list[Borrower]:
        return self._line.first(self.max_size)

    def _wait_for_turn(self, borrower: Borrower, deadline: float) -> None:
        self._count(requests_queued=borrower not in self._served())
        while not (self._closed or borrower in self._served()):
            now = time.monotonic()
            if now >= deadline:
                raise PoolTimeout(f"nobody returned one of {self.max_size} connections in time")
            borrower.wait(min(deadline - now, RECHECK_INTERVAL))
            self._count(requests_wait_ms=round(1000 * (time.monotonic() - now)))

    def _claim(self, borrower: Borrower, deadline: float) -> Slot:
        """Have a slot to oneself: that of the connection used last, or else an empty one."""
        while not self._closed:
            # In the background, so that a borrower who is interrupted never has several slots.
            if any(map(self._is_to_be_dropped, self._slots)) and not in_background(self._drop):
                self._drop()
            for slot in sorted(self._slots, key=preference):
                if not self._is_unfit(slot) and slot.claim(borrower):
                    borrower.slot = slot
                    return slot
            # There is a slot for each who is served, but what is in it has to be ended first.
            if time.monotonic() >= deadline:
                raise PoolTimeout("no connection that is alive was found in time")
            borrower.wait(POLL_INTERVAL)
        raise PoolClosed("the pool is closed")

    def _drop(self) -> None:
        """End what died, grew too old, or was left behind by an interrupted borrower."""
        dropper = Borrower()
        claimed = [s for s in self._slots if self._is_to_be_dropped(s) and s.claim(dropper)]
        unfit = [slot for slot in claimed if self._is_unfit(slot)]
        self._count(connections_lost=len(unfit))
        empty(unfit, FAREWELL_TIMEOUT)  # for which a borrower may be waiting
        for slot in claimed:
            slot.line.leave(dropper)

    def _is_to_be_dropped(self, slot: Slot) -> bool:
        return self._is_unfit(slot) and not slot.line.first(1)

    def _is_unfit(self, slot: Slot) -> bool:
        return slot.websocket is not None and not self._is_fit(slot)

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

    def _is_alive(self, slot: Slot, deadline: float) -> bool:
        """Tell whether a connection may be lent, as far as there is the time to see."""
        now = time.monotonic()
        if slot.ping is None and now - slot.idle_since < PING_AFTER:
            return self._is_fit(slot)
        if slot.ping is None or slot.ping.is_outdated():
            slot.ping = Ping(slot.websocket, PING_TIMEOUT)
        # Half of the time that is left is for opening another one.
        is_answered = slot.ping.is_answered((deadline - now) / 2)
        if is_answered is None:
            if time.monotonic() >= deadline:
                raise PoolTimeout("there is no time to see whether a connection is alive")
            return False
        slot.ping = None
        if not is_answered and is_open(slot.websocket):
            self._lost_since = max(self._lost_since, slot.idle_since)
        return self._is_fit(slot)

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
        for name, count in counts.items():
            self._counts[name] += count


def preference(slot: Slot) -> tuple[bool, float]:
    """Sort what was used last to the front, and what hasn't answered a ping yet to the end."""
    return (slot.ping is not None and slot.ping.is_pending(), -slot.idle_since)


pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


def start_empty_in_child() -> None:
    for pool in tuple(pools):
        for slot in pool._slots:
            slot.leave_to_parent()
        pool._start_empty()


with contextlib.suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=start_empty_in_child)
