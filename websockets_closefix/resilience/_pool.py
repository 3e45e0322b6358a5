"""A pool of connections to one server, with the names of psycopg's pool."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any

from websockets.sync.client import ClientConnection

from ._arguments import check_count, check_seconds, check_uri
from ._ending import end_all, hang_up
from ._line import Line, Ticket
from ._locked import locked
from ._open import open_connection
from ._state import answers_ping, has_unread, is_open

CLOSE_TIMEOUT = 1.0
"""Seconds for the closing handshake of a connection that isn't lent any more."""

PING_AFTER = 1.0
"""Seconds after which an idle connection has to answer a ping before it is lent."""

PING_TIMEOUT = 2.0
"""Seconds for that answer."""

RECHECK_INTERVAL = 0.5
"""Seconds after which whoever waits looks himself, lest those who call him were interrupted."""

DESCRIPTORS = ("socket", "shutdown_watcher", "shutdown_notifier")
"""What a connection has open; all but the first are of websockets 17.0."""

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
        connect_kwargs: As for :func:`websockets.sync.client.connect`.

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
        **connect_kwargs: Any,
    ) -> None:
        check_uri(uri)
        check_count("max_size", max_size, at_least=1)
        check_seconds("timeout", timeout)
        check_seconds("max_idle", max_idle)
        check_seconds("max_lifetime", max_lifetime)
        self.uri: str = uri
        self.max_size: int = max_size
        self.timeout: float = timeout
        self.max_idle: float = max_idle
        self.max_lifetime: float = max_lifetime
        # Lest connect() call getLogger(), which keeps a lock if a signal handler raises in it.
        connect_kwargs.setdefault("logger", logging.getLogger("websockets.client"))
        self._connect_kwargs = connect_kwargs
        self._closed = False
        self._start_empty()
        pools.add(self)

    def _start_empty(self) -> None:
        # Guards what follows. Re-entrant, since a signal handler may borrow, too. No connection
        # is opened or closed while it is held.
        self._lock = threading.RLock()
        self._line = Line()  # its first max_size have a connection, or open one
        self._opened_at: dict[ClientConnection, float] = {}  # all that are open, whoever has them
        self._idle_since: dict[ClientConnection, float] = {}  # those that came back fit to be lent
        self._counts = collections.Counter(dict.fromkeys(COUNTS, 0))

    def __enter__(self) -> ConnectionPool:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_traceback: TracebackType | None,
    ) -> None:
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
        ticket = Ticket()
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            try:
                yield self._borrow(ticket, deadline)
                ticket.is_reusable = True
            finally:
                self._give_back(ticket)
        finally:
            self._give_back(ticket)  # does something only if an exception kept the first from it

    def close(self, timeout: float = 5) -> None:
        """
        Close all connections; closing a closed pool does nothing.

        Threads that wait for a connection get :exc:`PoolClosed`. Those that have one may finish;
        after ``timeout``, their connections are cut.

        Args:
            timeout: Seconds to wait for borrowers. It defaults to 5. Peers that don't answer a
                close frame may take 2 more.

        """
        deadline = time.monotonic() + timeout
        self._closed = True
        locked(self._lock, self._line.call, None)
        self._end(locked(self._lock, self._unheld))
        while self._borrowers() and (remaining := deadline - time.monotonic()) > 0:
            self._line.bell.wait(min(remaining, RECHECK_INTERVAL))
        for websocket in list(self._opened_at):
            hang_up(websocket.socket)
        self._end(locked(self._lock, self._unheld))

    def get_stats(self) -> dict[str, int]:
        """
        Return what the pool has and what it has done, under psycopg's names.

        Returns:
            ``pool_max``, ``pool_size`` (open), ``pool_available`` (idle), ``requests_waiting``;
            and since the pool was made: ``requests_num``, ``requests_queued`` (those that had to
            wait), ``requests_wait_ms``, ``requests_errors`` (timed out or closed meanwhile),
            ``returns_bad`` (discarded after use), ``connections_num`` (attempts to connect),
            ``connections_errors`` (failed ones), ``connections_lost`` (died while nobody had
            them, and were replaced when needed).

        """
        return {
            "pool_max": self.max_size,
            "pool_size": len(self._opened_at),
            "pool_available": len(self._idle_since),
            "requests_waiting": len(self._borrowers()[self.max_size :]),
            **self._counts,
        }

    # Without the lock.

    def _borrow(self, ticket: Ticket, deadline: float) -> ClientConnection:
        self._count("requests_num")
        try:
            locked(self._lock, self._line.join, ticket)
            self._wait_for_turn(ticket, deadline)
            while locked(self._lock, self._take, ticket):
                if self._is_lendable(ticket.held[0], deadline):
                    del self._idle_since[ticket.held[0]]
                    break
                self._count("connections_lost", len(ticket.held))
                self._end(ticket.held)
            else:
                self._open(ticket, deadline)
            if self._closed:
                raise PoolClosed("the pool was closed while connecting")
        except (PoolClosed, PoolTimeout):
            self._count("requests_errors")
            raise
        ticket.is_lent = True
        return ticket.held[0]

    def _wait_for_turn(self, ticket: Ticket, deadline: float) -> None:
        """Wait until there is a connection for this borrower, or room to open one."""
        if self._is_first(ticket):
            return
        self._count("requests_queued")
        started = time.monotonic()
        try:
            while not self._is_first(ticket):
                if (remaining := deadline - time.monotonic()) <= 0:
                    waited = time.monotonic() - started
                    raise PoolTimeout(f"no connection was returned within {waited:.1f} seconds")
                ticket.bell.wait(min(remaining, RECHECK_INTERVAL))
        finally:
            self._count("requests_wait_ms", int(1000 * (time.monotonic() - started)))

    def _is_first(self, ticket: Ticket) -> bool:
        if self._closed:
            raise PoolClosed("the pool is closed")
        return ticket in self._borrowers()[: self.max_size]

    def _is_lendable(self, websocket: ClientConnection, deadline: float) -> bool:
        if not self._is_fit(websocket) or has_unread(websocket):
            return False
        now = time.monotonic()
        if now - self._idle_since[websocket] < PING_AFTER:
            return True
        timeout = min(PING_TIMEOUT, (deadline - now) / 2)  # leaves time to open another one
        if answers_ping(websocket, timeout):
            return not has_unread(websocket)
        locked(self._lock, self._distrust, websocket)
        return False

    def _open(self, ticket: Ticket, deadline: float) -> None:
        def register(websocket: ClientConnection) -> None:
            if self._closed:
                raise PoolClosed("the pool was closed while connecting")
            ticket.held = (websocket,)
            self._opened_at[websocket] = time.monotonic()

        if (remaining := deadline - time.monotonic()) <= 0:
            raise PoolTimeout("no connection that is alive was found in time")
        self._count("connections_num")
        try:
            open_connection(self.uri, self._connect_kwargs, remaining, register)
        except BaseException as exc:
            self._count("connections_errors")
            if isinstance(exc, Exception) and self._closed:
                raise PoolClosed("the pool was closed while connecting") from exc
            if isinstance(exc, OSError) and time.monotonic() >= deadline:
                raise PoolTimeout("couldn't connect in time") from exc
            raise

    def _give_back(self, ticket: Ticket) -> None:
        if ticket.is_over:
            return
        if not locked(self._lock, self._keep, ticket):
            self._count("returns_bad", ticket.is_lent)
            self._end(ticket.held)
        ticket.is_over = True
        locked(self._lock, self._line.call, self.max_size)

    def _end(self, websockets: Collection[ClientConnection]) -> None:
        # In a forked child a borrower may still have what is the parent's.
        known = [websocket for websocket in websockets if websocket in self._opened_at]
        end_all(known, CLOSE_TIMEOUT)
        for websocket in known:
            self._idle_since.pop(websocket, None)
            self._opened_at.pop(websocket, None)

    def _borrowers(self) -> list[Ticket]:
        return locked(self._lock, self._line.tickets)

    def _count(self, name: str, by: int = 1) -> None:
        locked(self._lock, self._counts.update, {name: by})

    # With the lock.

    def _take(self, ticket: Ticket) -> bool:
        """Take all the unfit connections that nobody has, to end them, or else one to be lent."""
        unheld = self._unheld()
        unfit = [websocket for websocket in unheld if not self._is_fit(websocket)]
        unheld.sort(key=lambda websocket: self._idle_since.get(websocket, 0))
        ticket.held = tuple(unfit or unheld[-1:])
        return bool(ticket.held)

    def _distrust(self, websocket: ClientConnection) -> None:
        """Have those dropped that have been idle for as long as one that is dead, or longer."""
        last_alive = self._idle_since[websocket]
        for other, since in self._idle_since.items():
            if since <= last_alive:
                self._idle_since[other] = float("-inf")

    def _keep(self, ticket: Ticket) -> bool:
        """Make a connection that was lent idle, if it can be lent again."""
        if self._closed or not (ticket.is_reusable and self._is_usable(ticket.held[0])):
            return False
        self._idle_since[ticket.held[0]] = time.monotonic()
        return True

    def _unheld(self) -> list[ClientConnection]:
        """Return what nobody has: what is idle, and what an interrupted borrower has dropped."""
        opened = list(self._opened_at)
        held = {websocket for ticket in self._line.tickets() for websocket in ticket.held}
        return [websocket for websocket in opened if websocket not in held]

    def _is_fit(self, websocket: ClientConnection) -> bool:
        idle_since = self._idle_since.get(websocket, float("-inf"))
        return self._is_usable(websocket) and time.monotonic() - idle_since < self.max_idle

    def _is_usable(self, websocket: ClientConnection) -> bool:
        opened_at = self._opened_at.get(websocket, float("-inf"))
        return is_open(websocket) and time.monotonic() - opened_at < self.max_lifetime


pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


def start_empty_in_child() -> None:
    """Close the child's copies of descriptors; the connections stay open, and the parent's."""
    for pool in list(pools):
        for websocket in pool._opened_at:
            for name in DESCRIPTORS:
                if hasattr(websocket, name):
                    getattr(websocket, name).close()
        pool._start_empty()


with contextlib.suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=start_empty_in_child)
