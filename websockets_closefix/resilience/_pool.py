"""A pool of connections to one server, with the names of psycopg's pool."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple

from websockets.client import backoff
from websockets.sync.client import ClientConnection, connect

from ._arguments import check_count, check_seconds, check_uri
from ._hang_up import hang_up

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


DISCARD_TIMEOUT = 1.0
"""
Seconds for the closing handshake of a connection whose borrower left with an exception.

He is waiting for it, and in 13.1 ``close()`` waits ``close_timeout`` for unread messages.

"""


class PoolTimeout(TimeoutError):
    """Raised when no connection could be had in time."""


class PoolClosed(RuntimeError):
    """Raised when a pool is used after it was closed."""


class Idle(NamedTuple):
    """A connection that waits to be lent."""

    websocket: ClientConnection
    since: float


class ConnectionPool:
    """
    Lend open connections to threads, one borrower at a time.

    ::

        with ConnectionPool("wss://example.com", max_size=4) as pool:
            with pool.connection() as websocket:
                websocket.send("question")
                answer = websocket.recv()

    A connection that died while nobody had it is replaced before it is lent. One that dies in
    use, or whose borrower leaves with an exception, is closed and never lent again. A borrower
    must leave no message unread: the next one would read it.

    A pool has a daemon thread, which opens ``min_size`` and closes what is too old. It ends when
    the pool is closed, so close a pool that isn't used in a ``with`` block.

    Args:
        uri: URI of the WebSocket server.
        min_size: Connections to open at once and to keep open. It defaults to 0.
        max_size: Connections to have open at most. It defaults to 4.
        timeout: Seconds that :meth:`connection` waits at most. It defaults to 30.
        max_idle: Seconds after which a connection that nobody wants is closed, unless it is
            among the last ``min_size``. It defaults to 600.
        max_lifetime: Seconds after which a connection is closed as soon as nobody has it. It
            defaults to 3600.
        connect_kwargs: As for :func:`websockets.sync.client.connect`.

    Raises:
        ValueError: If an argument is out of its range, or ``uri`` isn't a WebSocket URI.

    """

    def __init__(
        self,
        uri: str,
        *,
        min_size: int = 0,
        max_size: int = 4,
        timeout: float = 30,
        max_idle: float = 600,
        max_lifetime: float = 3600,
        **connect_kwargs: Any,
    ) -> None:
        check_uri(uri)
        check_count("max_size", max_size, at_least=1)
        check_count("min_size", min_size, at_least=0)
        if min_size > max_size:
            raise ValueError(f"min_size must not exceed max_size, but {min_size} > {max_size}")
        check_seconds("timeout", timeout)
        check_seconds("max_idle", max_idle)
        check_seconds("max_lifetime", max_lifetime)
        self.uri: str = uri
        self.min_size: int = min_size
        self.max_size: int = max_size
        self.timeout: float = timeout
        self.max_idle: float = max_idle
        self.max_lifetime: float = max_lifetime
        self._connect_kwargs = connect_kwargs

        # Guards all that follows, and is notified when a connection comes back, a slot becomes
        # free or the pool is closed. No connection is opened or closed while it is held.
        self._changed = threading.Condition()
        self._closed = False
        self._idle: deque[Idle] = deque()  # the one lent last comes last, and is lent first
        self._opened_at: dict[ClientConnection, float] = {}
        self._slots = 0  # connections that are open, being opened or being closed
        self._waiting = 0
        self._counts = dict.fromkeys(COUNTS, 0)

        self._maintainer = threading.Thread(
            target=self._maintain, name="ConnectionPool", daemon=True
        )
        self._maintainer.start()

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
        websocket = self._borrow(self.timeout if timeout is None else timeout)
        try:
            yield websocket
        except BaseException:
            if websocket.close_timeout is None or websocket.close_timeout > DISCARD_TIMEOUT:
                websocket.close_timeout = DISCARD_TIMEOUT
            self._give_back(websocket, reusable=False)
            raise
        self._give_back(websocket, reusable=True)

    def close(self, timeout: float = 5) -> None:
        """
        Close all connections; closing a closed pool does nothing.

        Threads that wait for a connection get :exc:`PoolClosed`. Those that have one may finish;
        after ``timeout``, their connections are cut.

        Args:
            timeout: Seconds to wait for borrowers and for closing handshakes. It defaults to 5.

        """
        deadline = time.monotonic() + timeout
        with self._changed:
            if self._closed:
                return
            self._closed = True
            idle = [entry.websocket for entry in self._idle]
            self._idle.clear()
            self._changed.notify_all()
        for websocket in idle:
            threading.Thread(target=self._dispose, args=(websocket,), daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._slots == 0, deadline - time.monotonic())
            overdue = list(self._opened_at)
        for websocket in overdue:
            hang_up(websocket.socket)
        self._maintainer.join(max(0, deadline - time.monotonic()))

    def get_stats(self) -> dict[str, int]:
        """
        Return what the pool has and what it has done, under psycopg's names.

        Returns:
            ``pool_min``, ``pool_max``, ``pool_size`` (open, being opened or being closed),
            ``pool_available`` (idle), ``requests_waiting``; and since the pool was made:
            ``requests_num``, ``requests_queued`` (those that had to wait), ``requests_wait_ms``,
            ``requests_errors`` (timed out or closed meanwhile), ``returns_bad`` (discarded after
            use), ``connections_num`` (attempts to connect), ``connections_errors`` (failed ones),
            ``connections_lost`` (died while nobody had them, and were replaced when needed).

        """
        with self._changed:
            return {
                "pool_min": self.min_size,
                "pool_max": self.max_size,
                "pool_size": self._slots,
                "pool_available": len(self._idle),
                "requests_waiting": self._waiting,
                **self._counts,
            }

    # In the borrower's thread.

    def _borrow(self, timeout: float) -> ClientConnection:
        deadline = time.monotonic() + timeout
        with self._changed:
            self._counts["requests_num"] += 1
            try:
                websocket = self._wait_for_turn(deadline)
            except (PoolClosed, PoolTimeout):
                self._counts["requests_errors"] += 1
                raise
        if websocket is not None:
            return websocket
        try:
            return self._open(deadline - time.monotonic(), lend=True)
        except TimeoutError as exc:
            if time.monotonic() < deadline:
                raise
            with self._changed:
                self._counts["requests_errors"] += 1
            raise PoolTimeout(f"couldn't connect within {timeout} seconds") from exc

    def _wait_for_turn(self, deadline: float) -> ClientConnection | None:
        """Return an idle connection, or None with a slot taken for a new one."""
        started = time.monotonic()
        queued = False
        while not self._closed:
            websocket = self._take_idle()
            if websocket is not None or self._take_slot():
                return websocket
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                seconds = time.monotonic() - started
                raise PoolTimeout(f"no connection was returned within {seconds:.1f} seconds")
            self._counts["requests_queued"] += not queued
            queued = True
            self._wait(remaining)
        raise PoolClosed("the pool is closed")

    def _wait(self, timeout: float) -> None:
        started = time.monotonic()
        self._waiting += 1
        try:
            self._changed.wait(timeout)
        finally:
            self._waiting -= 1
            self._counts["requests_wait_ms"] += int(1000 * (time.monotonic() - started))

    def _take_idle(self) -> ClientConnection | None:
        while self._idle:
            websocket = self._idle.pop().websocket
            if is_open(websocket):
                return websocket
            self._counts["connections_lost"] += 1
            self._forget(websocket)
        return None

    def _take_slot(self) -> bool:
        free = self._slots < self.max_size
        self._slots += free
        return free

    def _give_back(self, websocket: ClientConnection, *, reusable: bool) -> None:
        now = time.monotonic()
        with self._changed:
            reusable = reusable and is_open(websocket)
            self._counts["returns_bad"] += not reusable
            fresh = now - self._opened_at[websocket] < self.max_lifetime
            if reusable and fresh and not self._closed:
                self._idle.append(Idle(websocket, now))
                self._changed.notify_all()
                return
        self._dispose(websocket)

    # In the borrower's thread or in the maintainer.

    def _open(self, timeout: float, *, lend: bool) -> ClientConnection:
        """Open a connection for which a slot has been taken."""
        kwargs = dict(self._connect_kwargs)
        open_timeout = kwargs.get("open_timeout", 10)
        kwargs["open_timeout"] = timeout if open_timeout is None else min(timeout, open_timeout)
        try:
            # As a context manager, because 17.1 deprecates anything else.
            websocket: ClientConnection = connect(self.uri, **kwargs).__enter__()  # type: ignore
        except BaseException:
            with self._changed:
                self._counts["connections_num"] += 1
                self._counts["connections_errors"] += 1
                self._slots -= 1
                self._changed.notify_all()
            raise
        with self._changed:
            self._counts["connections_num"] += 1
            self._opened_at[websocket] = time.monotonic()
            if not self._closed:
                if not lend:
                    self._idle.append(Idle(websocket, time.monotonic()))
                    self._changed.notify_all()
                return websocket
        self._dispose(websocket)
        raise PoolClosed("the pool was closed while connecting")

    def _dispose(self, websocket: ClientConnection) -> None:
        """Close a connection that is neither idle nor lent, then free its slot."""
        try:
            websocket.close()
        except Exception:  # without the shim, the close race
            websocket.logger.debug("closing a pooled connection failed", exc_info=True)
        finally:
            with self._changed:
                self._forget(websocket)

    def _forget(self, websocket: ClientConnection) -> None:
        del self._opened_at[websocket]
        self._slots -= 1
        self._changed.notify_all()

    # In the maintainer, a daemon thread that ends with the pool.

    def _maintain(self) -> None:
        """Open what min_size wants, and close what is too old, until the pool is closed."""
        delays: Iterator[float] | None = None
        retry_at = 0.0
        while True:
            with self._changed:
                while not self._closed and (due_in := self._due_in(retry_at)) > 0:
                    self._changed.wait(due_in)
                if self._closed:
                    return
                outdated = self._take_outdated()
                is_missing = self._slots < self.min_size and retry_at <= time.monotonic()
                self._slots += is_missing
            for websocket in outdated:
                self._dispose(websocket)
            if is_missing:
                try:
                    self._open(self.timeout, lend=False)
                    delays = None
                except PoolClosed:
                    return
                except Exception:
                    delays = delays or backoff()
                    retry_at = time.monotonic() + next(delays)

    def _due_in(self, retry_at: float) -> float:
        """Return in how many seconds there is something to do, if nothing changes till then."""
        due = [time.monotonic() + self.max_idle]
        if self._slots < self.min_size:
            due.append(retry_at)
        for websocket, since in self._idle:
            due.append(self._opened_at[websocket] + self.max_lifetime)
            if self._slots > self.min_size:
                due.append(since + self.max_idle)
        return min(due) - time.monotonic()

    def _take_outdated(self) -> list[ClientConnection]:
        now = time.monotonic()
        outdated: list[ClientConnection] = []
        for entry in list(self._idle):  # the one idle for longest comes first
            surplus = self._slots - self.min_size - len(outdated)
            too_old = now - self._opened_at[entry.websocket] >= self.max_lifetime
            if too_old or (now - entry.since >= self.max_idle and surplus > 0):
                self._idle.remove(entry)
                outdated.append(entry.websocket)
        return outdated


def is_open(websocket: ClientConnection) -> bool:
    """Tell whether a connection is open, as far as its reader thread knows."""
    return websocket.protocol.state.name == "OPEN"
