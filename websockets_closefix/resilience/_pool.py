"""A pool of connections to one server, with the names of psycopg's pool."""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Iterator
from typing import Any, Callable

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from ._arguments import check_callable, check_connect_kwargs, check_seconds, check_uri
from ._connection import (
    POLL_INTERVAL,
    SEND_TIMEOUT,
    in_background,
    is_at_rest,
    is_open,
    shut_down,
    wait_until,
)
from ._slot import NEVER, Borrower, Line, Slot, connections_in, empty, shut_down_all

# Seconds.
CLOSE_TIMEOUT = 1.0  # for the closing handshakes of connections that aren't lent any more
PING_AFTER = 1.0  # after which an idle connection has to answer a ping before it's lent
PING_TIMEOUT = 2.0  # for that answer
MUTEX_TIMEOUT = 1.0  # for other threads to finish what they do with a connection that is returned
SWEEP_INTERVAL = 1.0  # at least between two looks at all connections, in use or not
RECHECK_INTERVAL = 0.5  # after which a borrower that wasn't called checks whether it's its turn

REQUESTS = ("requests_num", "requests_queued", "requests_wait_ms", "requests_errors")
CONNECTIONS = ("returns_bad", "connections_num", "connections_errors", "connections_lost")


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

    A connection is lent again if its borrower left without an exception, unless it's broken, too
    old, or has unread messages. One that has been idle for a second has to answer a ping first. An
    answer that is still on its way when a connection is returned reaches the next borrower: put an
    id into each request, and compare it. In a forked process a pool starts empty.

    Args:
        uri: URI of the WebSocket server.
        max_size: Connections to have open at most. It defaults to 4.
        timeout: Seconds that :meth:`connection` waits at most. It defaults to 30.
        max_idle: Seconds after which an idle connection isn't lent any more. It defaults to 600.
        max_lifetime: Seconds after which a connection isn't lent any more. It defaults to 3600.
        max_message_size: Bytes of an incoming message at most, or :obj:`None`: what ``max_size``
            is to :func:`~websockets.sync.client.connect`. It defaults to 1 MiB.
        configure: Called with each new connection before it is lent. If it raises, or takes longer
            than the borrower has, the connection is closed.
        connect_kwargs: As for :func:`~websockets.sync.client.connect`, but for ``sock``.
            ``additional_headers`` may be a function that returns them for each connection.

    Raises:
        ValueError: If an argument is out of its range, or ``uri`` isn't a WebSocket URI.
        TypeError: If there is no such argument.

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
        configure: Callable[[ClientConnection], object] | None = None,
        **connect_kwargs: Any,
    ) -> None:
        if not isinstance(max_size, int) or max_size < 1:
            raise ValueError(f"max_size must be a whole number of at least 1, not {max_size!r}")
        check_connect_kwargs("ConnectionPool", connect_kwargs)
        self.uri: str = check_uri(uri)
        self.max_size: int = max_size
        self.timeout: float = check_seconds("timeout", timeout)
        self.max_idle: float = check_seconds("max_idle", max_idle)
        self.max_lifetime: float = check_seconds("max_lifetime", max_lifetime)
        self.configure: Callable[[ClientConnection], object] | None = (
            None if configure is None else check_callable("configure", configure)
        )
        self._connect_kwargs: dict[str, Any] = {**connect_kwargs, "max_size": max_message_size}
        self._closed = False
        self._slots: dict[int, Slot] = {}  # by number, so that setdefault() never adds too many
        self._start_empty()
        # A pool that is no longer referenced leaves no connection open.
        weakref.finalize(self, shut_down_all, self._slots.values()).atexit = False
        pools.add(self)

    def _start_empty(self) -> None:
        self._slots.clear()
        self._line = Line(self.max_size)
        # Where borrowers look for a slot. One that is missing here, or isn't free, costs only time.
        self._idle: dict[Slot, None] = {}
        self._empty: dict[Slot, None] = {}
        self._next_sweep = time.monotonic() + SWEEP_INTERVAL
        self._lost_since = NEVER  # what has been idle for longer is taken for lost
        self._counts = dict.fromkeys(REQUESTS + CONNECTIONS, 0)

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
            Exception: What ``connect()`` or ``configure`` raises, if it's time for a new one.

        """
        borrower = Borrower()
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            try:
                websocket = self._serve(borrower, deadline)
                yield websocket
                # It may be the reader thread's for a moment, or left locked by an interruption.
                mutex = websocket.protocol_mutex
                borrower.has_finished = wait_until(lambda: not mutex.locked(), MUTEX_TIMEOUT)
            finally:
                self._take_back(borrower)
        finally:
            self._take_back(borrower)  # does something only if an exception kept the first from it

    def close(self, timeout: float = 5) -> None:
        """
        Close all connections; threads that wait for one get :exc:`PoolClosed`.

        Args:
            timeout: Seconds after which the connections of those that have one are cut. It defaults
                to 5. Peers that don't answer a close frame may take a few more.

        """
        deadline = time.monotonic() + timeout
        self._closed = True
        for borrower in self._line.borrowers():
            borrower.call()
        self._end_unborrowed()
        wait_until(lambda: not self._line.borrowers(), deadline - time.monotonic())
        self._end_unborrowed()
        shut_down_all(self._slots.values())

    def _end_unborrowed(self) -> None:
        borrowers = set(self._line.borrowers())
        slots = tuple(self._slots.values())
        empty([s for s in slots if borrowers.isdisjoint(s.claims.borrowers())], CLOSE_TIMEOUT)

    def get_stats(self) -> dict[str, int]:
        """
        Return what the pool has and what it has done, under psycopg's names.

        Returns:
            ``pool_max``, ``pool_size`` (open), ``pool_available`` (idle), ``requests_waiting``;
            and so far: ``requests_num``, ``requests_queued`` (had to wait), ``requests_wait_ms``,
            ``requests_errors`` (got no connection), ``returns_bad`` (discarded after use),
            ``connections_num`` (attempts to connect), ``connections_errors`` (failed ones),
            ``connections_lost`` (died or grew too old while idle). There is no lock: one may be
            missed on Python 3.9 or without a GIL.

        """
        slots = tuple(self._slots.values())
        return {
            "pool_max": self.max_size,
            "pool_size": len(connections_in(slots)),
            "pool_available": sum(slot.idle_since > NEVER for slot in slots),
            "requests_waiting": max(0, len(self._line.borrowers()) - self.max_size),
            **self._counts,
        }

    def _count(self, **counts: int) -> None:
        for name, count in counts.items():
            self._counts[name] += count

    # What a borrower goes through, in this order.

    def _serve(self, borrower: Borrower, deadline: float) -> Any:
        self._count(requests_num=1)
        self._line.append(borrower.place)
        self._count(requests_queued=not self._line.serves(borrower))
        while not (self._closed or self._line.serves(borrower)):
            now = time.monotonic()
            if now >= deadline:
                raise PoolTimeout(f"none of {self.max_size} connections was returned in time")
            borrower.wait(min(deadline - now, RECHECK_INTERVAL))
            self._count(requests_wait_ms=round(1000 * (time.monotonic() - now)))
        slot = self._claim(borrower, deadline)
        websocket = self._open(slot, deadline) if slot.websocket is None else slot.websocket
        if self._closed:
            raise PoolClosed("the pool was closed meanwhile")
        slot.idle_since = NEVER
        borrower.was_served = True
        return websocket

    def _claim(self, borrower: Borrower, deadline: float) -> Slot:
        """Have a slot to oneself: that of the connection used last, or else an empty one."""
        while not self._closed:
            slot = borrower.slot = self._find_slot()
            if slot is None:
                # There is one for each that is served, but its connection has to be ended first.
                borrower.wait(POLL_INTERVAL)
            elif not slot.claim(borrower):
                continue
            elif slot.websocket is None or (
                time.monotonic() < slot.trusted_until and not self._is_unfit(slot)
            ):
                return slot
            else:
                self._have_asked(slot, borrower, deadline)
            if time.monotonic() >= deadline:
                raise PoolTimeout("no connection that is alive was found in time")
        raise PoolClosed("the pool is closed")

    def _find_slot(self) -> Slot | None:
        """Return a slot that is probably free, preferably that of the connection used last."""
        while (slot := self._guess_slot()) is not None and self._is_unfit(slot):
            self._next_sweep = NEVER
        if slot is None or time.monotonic() >= self._next_sweep:
            self._sweep()
        return slot

    def _guess_slot(self) -> Slot | None:
        for hints in (self._idle, self._empty):
            with contextlib.suppress(KeyError):
                return hints.popitem()[0]
        if (number := len(self._slots)) < self.max_size:
            return self._slots.setdefault(number, Slot())
        # One that an interrupted borrower had.
        slots = tuple(self._slots.values())
        free = [s for s in slots if not (s.claims.borrowers() or self._is_unfit(s))]
        return free[0] if free else None

    def _have_asked(self, slot: Slot, borrower: Borrower, deadline: float) -> None:
        """Leave a connection to a thread that pings it, and wait for that, if there's the time."""
        asker, websocket, time_left = Borrower(), slot.websocket, deadline - time.monotonic()
        slot.claims.leave(borrower.place)
        if not in_background(self._ask, slot, websocket, asker):
            self._ask(slot, websocket, asker)
        wait_until(lambda: asker.is_called, time_left / 2)  # the rest is for opening another one

    def _ask(self, slot: Slot, websocket: ClientConnection, asker: Borrower) -> None:
        """Ping a connection; without a pong in time, drop it, and those idle for longer."""
        pongs: list[Any] = []
        asked_at = time.monotonic()
        slot.claim(asker)  # if another borrower was faster, a ping does no harm
        # In another thread, since ping() waits close_timeout where the peer has begun to close. If
        # there can't be another, the connection is lent unasked, as without a pool.
        if not in_background(lambda: pongs.append(websocket.ping())) or wait_until(
            lambda: not is_open(websocket) or (pongs and pongs[0].is_set()), PING_TIMEOUT
        ):
            slot.trusted_until = asked_at + PING_TIMEOUT
        else:
            self._lost_since = max(self._lost_since, slot.idle_since)
        self._free(slot, asker)
        asker.call()
        self._drop()

    def _open(self, slot: Slot, deadline: float) -> Any:
        if (remaining := deadline - time.monotonic()) <= 0:
            raise PoolTimeout("no connection that is alive was found in time")
        limit = self._connect_kwargs.get("open_timeout", 10)  # as in connect()
        # A socket can't have an infinite timeout.
        open_timeout = min(remaining, 86400 if limit is None else limit)
        self._count(connections_num=1)
        try:
            kwargs = {**self._connect_kwargs, "open_timeout": open_timeout}
            websocket = slot.open(self.uri, **kwargs)
            self._set_up(websocket, deadline)
        except Exception as exc:
            self._count(connections_errors=1)
            if self._closed:
                raise PoolClosed("the pool was closed meanwhile") from exc
            if isinstance(exc, (OSError, ConnectionClosed)) and time.monotonic() >= deadline:
                raise PoolTimeout("couldn't connect in time") from exc
            raise
        return websocket

    def _set_up(self, websocket: ClientConnection, deadline: float) -> None:
        if self.configure is None:
            return
        is_over, time_left = False, deadline - time.monotonic()

        def cut_off_in_time() -> None:
            if not wait_until(lambda: is_over, time_left):
                shut_down(websocket.socket)

        in_background(cut_off_in_time)
        try:
            self.configure(websocket)
        finally:
            is_over = True
        if time.monotonic() >= deadline:
            raise TimeoutError("configure took too long")

    def _take_back(self, borrower: Borrower) -> None:
        if borrower.place not in self._line:
            return
        slot = borrower.slot
        if slot is not None:
            if slot.claims.serves(borrower):
                if borrower.has_finished and slot.websocket is not None:
                    slot.idle_since = time.monotonic()
                    slot.trusted_until = slot.idle_since + PING_AFTER
                if self._is_unfit(slot):
                    empty([slot], CLOSE_TIMEOUT)
                    self._count(returns_bad=borrower.was_served)
            self._free(slot, borrower)
        self._count(requests_errors=not borrower.was_served)
        self._line.leave(borrower.place)
        self._line.call()

    def _free(self, slot: Slot, borrower: Borrower) -> None:
        """Give up a slot, and put it where the next borrower looks for one."""
        slot.claims.leave(borrower.place)
        (self._empty if slot.websocket is None else self._idle)[slot] = None

    # What is dropped.

    def _is_unfit(self, slot: Slot) -> bool:
        """Tell whether there is a connection that isn't to be lent any more."""
        now, websocket = time.monotonic(), slot.websocket
        return websocket is not None and not (
            slot.idle_since > max(now - self.max_idle, self._lost_since)
            and slot.opened_at > now - self.max_lifetime
            and not self._closed
            and is_open(websocket)
            and is_at_rest(websocket)
        )

    def _sweep(self) -> None:
        """End what died, grew too old, or was left behind by an interrupted borrower."""
        self._next_sweep = time.monotonic() + SWEEP_INTERVAL
        slots = tuple(self._slots.values())
        unfit = [slot for slot in slots if self._is_unfit(slot) and not slot.claims.borrowers()]
        # In the background, so that a borrower that is interrupted never has several slots.
        if unfit and not in_background(self._drop):
            self._drop()

    def _drop(self) -> None:
        dropper, slots = Borrower(), tuple(self._slots.values())
        claimed = [slot for slot in slots if self._is_unfit(slot) and slot.claim(dropper)]
        unfit = [slot for slot in claimed if self._is_unfit(slot)]
        for slot in unfit:
            self._idle.pop(slot, None)
        self._count(connections_lost=len(unfit))
        empty(unfit, SEND_TIMEOUT)  # for which a borrower may be waiting
        for slot in claimed:
            self._free(slot, dropper)


pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


def start_empty_in_child() -> None:
    for pool in tuple(pools):
        for slot in pool._slots.values():
            slot.leave_to_parent()
        pool._start_empty()


with contextlib.suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=start_empty_in_child)
