"""Keeps a connection alive with pings, and notices when the other end is gone."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.connection import Connection

from ._arguments import check_seconds
from ._connection import has_ended, is_reading, send_close_frame, shut_down

# Seconds.
CHECK_INTERVAL = 0.5  # at most, between two looks whether the connection has ended
LAST_WAIT = 0.1  # for a pong that is late: this process may have stood still, with the pong unread

# Has the kernel give up a peer that takes nothing (RFC 5482).
TCP_USER_TIMEOUT: Any = getattr(socket, "TCP_USER_TIMEOUT", None)

# These need no descriptor, unlike the default one.
Selector: Any = getattr(selectors, "PollSelector", selectors.SelectSelector)


class keepalive:
    """
    Ping a connection at regular intervals for as long as the block runs.

    As the keepalive of websockets 15.0 and later, which earlier releases lack::

        with connect("wss://example.com") as websocket, keepalive(websocket):
            for message in websocket:
                ...

    When a pong doesn't come in time, the connection is failed with code 1011 (internal error),
    "keepalive ping timeout", and ``recv()`` raises
    :exc:`~websockets.exceptions.ConnectionClosedError`.

    While a thread is in ``send()``, or the send buffer is full, no ping can be sent. Then it's the
    kernel, where it has ``TCP_USER_TIMEOUT``, that gives up a peer which takes not a single byte
    for ``ping_interval + ping_timeout`` seconds. The option is put back when the block ends.

    While unread messages keep the reader thread from reading, no ping is sent and no pong is
    expected. On 15.0 and later, websockets' own keepalive closes such a connection: turn it off
    with ``connect(ping_interval=None)``. Where it's on, this one does nothing but warn.

    Args:
        websocket: An open connection, client's or server's.
        ping_interval: Seconds between two pings. It defaults to 20.
        ping_timeout: Seconds to wait for a pong. It defaults to 20; :obj:`None` sends pings and
            gives no peer up.

    Raises:
        ValueError: If an argument isn't a positive number.
        RuntimeError: On entering the block, if it has been entered before.

    """

    def __init__(
        self, websocket: Connection, *, ping_interval: float = 20, ping_timeout: float | None = 20
    ) -> None:
        if ping_timeout is not None:
            check_seconds("ping_timeout", ping_timeout, " or None")
        self.websocket: Connection = websocket
        self.ping_interval: float = check_seconds("ping_interval", ping_interval)
        self.ping_timeout: float | None = ping_timeout
        self._latency = 0.0
        self._user_timeout: int | None = None  # what the socket had before, in milliseconds
        self._pid: int | None = None  # of the process that has entered the block
        self._stopped = self._awaited = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keepalive", daemon=True)

    @property
    def latency(self) -> float:
        """Seconds from the latest ping to its pong; 0 before the first pong."""
        own: float = getattr(self.websocket, "latency", 0.0)
        return own if keeps_itself_alive(self.websocket) else self._latency

    def __enter__(self) -> keepalive:
        if keeps_itself_alive(self.websocket):
            self.websocket.logger.warning(
                "websockets keeps this connection alive by itself, and closes it with code 1011 "
                "when the program is slow to read: keepalive() does nothing; it takes over, and "
                "spares slow programs, if you pass ping_interval=None to connect() or serve()"
            )
            return self
        try:
            self._pid = os.getpid()
            self._thread.start()  # which can't be done twice
            if self.ping_timeout is not None:
                limit = round(min(1000 * (self.ping_interval + self.ping_timeout), 2**31 - 1))
                self._user_timeout = user_timeout(self.websocket.socket)
                if not 0 < (self._user_timeout or 0) < limit:  # the application wants it stricter
                    user_timeout(self.websocket.socket, limit)
            return self
        except BaseException:  # a signal handler's, too
            self.__exit__()
            raise

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._stopped.set()
            self._awaited.set()  # a pong, if one is waited for
            if self._thread.ident is not None:
                self._thread.join(CHECK_INTERVAL)
        finally:
            # In a forked child that leaves the block, the socket is the parent's, which hasn't.
            if self._user_timeout is not None and self._pid == os.getpid():
                user_timeout(self.websocket.socket, self._user_timeout)

    # In the thread.

    def _run(self) -> None:
        try:
            while self._sleep(self.ping_interval - self._latency):
                # Where the reader thread doesn't read, there is no pong; and on a socket that the
                # peer has closed meanwhile, a ping would cost what is unread.
                if is_reading(self.websocket) and self._wait_until_it_can_send():
                    self._ping()
        except ConnectionClosed:
            pass
        except Exception:
            self.websocket.logger.error("keepalive ping failed", exc_info=True)

    def _ping(self) -> None:
        """Send a ping and wait for the pong; fail the connection if it doesn't come in time."""
        limit, sent_at = self.ping_timeout or self.ping_interval, time.monotonic()
        pong = self._awaited = self.websocket.ping()
        deadline = time.monotonic() + limit
        while not self._is_over():
            time_left = deadline - time.monotonic()
            if pong.wait(max(LAST_WAIT, min(time_left, CHECK_INTERVAL))):
                if not self._stopped.is_set():
                    self._latency = time.monotonic() - sent_at
                break
            if not is_reading(self.websocket):
                deadline = time.monotonic() + limit
            elif time_left <= 0:
                if self.ping_timeout is not None and not self._is_over():
                    fail(self.websocket)
                break

    def _wait_until_it_can_send(self) -> bool:
        """Wait for room in the send buffer and for other threads to finish sending."""
        # Not in ping(), which would wait for longer than the block may last.
        mutex = self.websocket.protocol_mutex
        while not self._is_over():
            # No signal handler raises in this thread, so that the mutex can't be left locked.
            if can_send(self.websocket.socket) and mutex.acquire(timeout=CHECK_INTERVAL):
                mutex.release()
                return True
        return False

    def _sleep(self, seconds: float) -> bool:
        """Return False if the connection or the block has ended meanwhile."""
        deadline = time.monotonic() + seconds
        while not self._is_over():
            if not is_reading(self.websocket):  # a program that is slow to read
                deadline = time.monotonic() + self.ping_interval
            if (remaining := deadline - time.monotonic()) <= 0:
                return True
            self._stopped.wait(min(remaining, CHECK_INTERVAL))
        return False

    def _is_over(self) -> bool:
        return self._stopped.is_set() or has_ended(self.websocket)


def keeps_itself_alive(websocket: Connection) -> bool:
    """Tell whether the keepalive of websockets 15.0 and later is on for this connection."""
    return getattr(websocket, "ping_interval", None) is not None


def fail(websocket: Connection) -> None:
    """Fail the connection, and end it at once: nothing is heard from the peer."""
    code, reason = CloseCode.INTERNAL_ERROR, "keepalive ping timeout"
    send_close_frame(websocket, websocket.protocol.fail, code, reason)
    shut_down(websocket.socket)


def can_send(sock: socket.socket) -> bool:
    """Wait for room in the send buffer, and tell whether there is, or the socket is closed."""
    with Selector() as selector:
        try:
            selector.register(sock, selectors.EVENT_WRITE)
        except (OSError, ValueError):
            return True
        return bool(selector.select(CHECK_INTERVAL))


def user_timeout(sock: socket.socket, *milliseconds: int) -> int | None:
    """Return the option, which is set before if it's given; 0 is the system's default."""
    if TCP_USER_TIMEOUT is not None:
        with contextlib.suppress(OSError):  # it isn't TCP, or is closed
            if milliseconds:
                sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, *milliseconds)
            return sock.getsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT)
    return None
