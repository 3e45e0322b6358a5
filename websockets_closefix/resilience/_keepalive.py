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

from ._arguments import check_seconds, check_seconds_or_none
from ._connection import (
    has_ended,
    is_reading,
    send_close_frame,
    shut_down,
)

CHECK_INTERVAL = 0.5
"""Maximum polling interval in seconds for the end of the connection, which can't be waited for."""

# Has the kernel give up a peer that takes nothing (RFC 5482).
TCP_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)


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
    kernel that notices: where there is ``TCP_USER_TIMEOUT`` (:rfc:`5482`; Linux), a peer that takes
    not a single byte for ``ping_interval + ping_timeout`` seconds is given up, and ``send()`` and
    ``recv()`` raise :exc:`~websockets.exceptions.ConnectionClosedError`. One that takes little, but
    takes it, is spared however long a message may last. The option is put back when the block ends.
    Elsewhere, and on Unix sockets, such a peer isn't given up, as with websockets' own keepalive.

    A program that is slow to read isn't a dead peer either: while unread messages keep the reader
    thread from reading (one on 13.1, more than ``max_queue`` later), no ping is sent and no pong is
    expected. On 15.0 and later, websockets' own keepalive closes such a connection: turn it off
    with ``connect(ping_interval=None)`` and use this one.

    The pings are sent from a daemon thread, which ends with the block or with the connection,
    whichever ends first. On a connection that websockets keeps alive by itself there is no such
    thread, and a warning on the connection's logger says so.

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
        self,
        websocket: Connection,
        *,
        ping_interval: float = 20,
        ping_timeout: float | None = 20,
    ) -> None:
        self.websocket: Connection = websocket
        self.ping_interval: float = check_seconds("ping_interval", ping_interval)
        self.ping_timeout: float | None = check_seconds_or_none("ping_timeout", ping_timeout)
        self._latency = 0.0
        self._user_timeout: float | None = None  # what the socket had before
        self._pid: int | None = None  # of the process that has entered the block
        self._stopped = False
        self._awaited = threading.Event()
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
                seconds = self.ping_interval + self.ping_timeout
                self._user_timeout = get_user_timeout(self.websocket.socket)
                if not 0 < (self._user_timeout or 0) < seconds:  # the application wants it stricter
                    set_user_timeout(self.websocket.socket, seconds)
            return self
        except BaseException:  # a signal handler's, too
            self.__exit__()
            raise

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._stopped = True
            self._awaited.set()
            if self._thread.ident is not None:
                self._thread.join(CHECK_INTERVAL)
        finally:
            # In a forked child that leaves the block, the socket is the parent's, which hasn't.
            if self._user_timeout is not None and self._pid == os.getpid():
                set_user_timeout(self.websocket.socket, self._user_timeout)

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
        sent_at = time.monotonic()
        pong = self.websocket.ping()
        if self._wait_for(pong, self.ping_timeout or self.ping_interval):
            self._latency = time.monotonic() - sent_at
        elif self.ping_timeout is not None and not self._is_over():
            fail(self.websocket)

    def _wait_until_it_can_send(self) -> bool:
        """Wait for room in the send buffer and for other threads to finish sending."""
        # Not in ping(), which would wait for longer than the block may last.
        mutex = self.websocket.protocol_mutex
        while not self._is_over():
            if not can_send(self.websocket.socket, CHECK_INTERVAL):
                continue
            # No signal handler raises in this thread, so that the mutex can't be left locked.
            if mutex.acquire(timeout=CHECK_INTERVAL):
                mutex.release()
                return True
        return False

    def _sleep(self, seconds: float) -> bool:
        """Return False if the connection or the block has ended meanwhile."""
        self._wait_for(threading.Event(), seconds)
        return not self._is_over()

    def _wait_for(self, event: threading.Event, timeout: float) -> bool:
        """Wait until the event is set, and return whether it was; __exit__() sets it too."""
        self._awaited = event  # before it is asked whether it's over, as __exit__() tells first
        deadline = time.monotonic() + timeout
        while not self._is_over():
            remaining = deadline - time.monotonic()
            if event.wait(max(0, min(remaining, CHECK_INTERVAL))):
                return not self._stopped
            if not is_reading(self.websocket):
                deadline = time.monotonic() + timeout  # a program that is slow to read
            elif remaining <= 0:
                return False
        return False

    def _is_over(self) -> bool:
        return self._stopped or has_ended(self.websocket)


def keeps_itself_alive(websocket: Connection) -> bool:
    """Tell whether the keepalive of websockets 15.0 and later is on for this connection."""
    return getattr(websocket, "ping_interval", None) is not None


def fail(websocket: Connection) -> None:
    """
    Fail the connection as :meth:`~websockets.protocol.Protocol.fail` does, and end it at once.

    ``send_context()`` would give the peer, from which nothing is heard, another ``close_timeout``
    seconds to answer the close frame.

    """
    code, reason = CloseCode.INTERNAL_ERROR, "keepalive ping timeout"
    send_close_frame(websocket, websocket.protocol.fail, code, reason)
    shut_down(websocket.socket)


def get_user_timeout(sock: socket.socket) -> float | None:
    """Return the option in seconds; 0 is the system's default, :obj:`None` that there is none."""
    if TCP_USER_TIMEOUT is not None:
        with contextlib.suppress(OSError):  # it isn't TCP, or is closed
            return sock.getsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT) / 1000
    return None


def set_user_timeout(sock: socket.socket, seconds: float) -> None:
    """Set for how many seconds a peer may take nothing; 0 is the system's default."""
    if TCP_USER_TIMEOUT is not None:
        milliseconds = round(min(1000 * seconds, 2**31 - 1))
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds)


# These need no descriptor, unlike the default one.
Selector: Any = getattr(selectors, "PollSelector", selectors.SelectSelector)


def can_send(sock: socket.socket, timeout: float) -> bool:
    """Wait until there is room in the send buffer, or the socket is closed; tell whether so."""
    with Selector() as selector:
        try:
            selector.register(sock, selectors.EVENT_WRITE)
        except (OSError, ValueError):
            return True
        return bool(selector.select(timeout))
