"""Keeps a connection alive with pings, and notices when the other end is gone."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.connection import Connection

from ._arguments import check_seconds
from ._hang_up import hang_up

CHECK_INTERVAL = 0.5
"""Seconds between two looks at whether the connection has ended, of which nothing tells."""

FAREWELL_TIMEOUT = 0.1
"""Seconds for sending a close frame to a peer that is believed to be gone."""


class keepalive:
    """
    Ping a connection at regular intervals for as long as the block runs.

    As the keepalive of websockets 15.0 and later, which the affected releases lack::

        with connect("wss://example.com") as websocket, keepalive(websocket):
            for message in websocket:
                ...

    When a pong doesn't come in time, the connection is failed with code 1011 (internal error),
    "keepalive ping timeout", and whoever waits in ``recv()`` gets
    :exc:`~websockets.exceptions.ConnectionClosedError`. A connection that cannot even be written
    to for ``ping_timeout`` seconds is hung up.

    The pings are sent from a daemon thread, which ends with the block or with the connection,
    whichever ends first. On a connection that websockets keeps alive by itself there is no such
    thread, and a warning on the connection's logger says so.

    Args:
        websocket: An open connection, client's or server's.
        ping_interval: Seconds between two pings. It defaults to 20.
        ping_timeout: Seconds to wait for a pong. It defaults to 20; :obj:`None` sends pings and
            doesn't wait.

    Raises:
        ValueError: If an argument isn't a positive number.

    """

    def __init__(
        self,
        websocket: Connection,
        *,
        ping_interval: float = 20,
        ping_timeout: float | None = 20,
    ) -> None:
        check_seconds("ping_interval", ping_interval)
        check_seconds("ping_timeout", ping_timeout, optional=True)
        self.websocket: Connection = websocket
        self.ping_interval: float = ping_interval
        self.ping_timeout: float | None = ping_timeout
        self._latency = 0.0
        self._stopped = False
        self._awaited = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="keepalive", daemon=True)

    @property
    def latency(self) -> float:
        """Seconds from the latest ping to its pong; 0 before the first pong."""
        own: float = getattr(self.websocket, "latency", 0.0)
        return own if keeps_itself_alive(self.websocket) else self._latency

    def __enter__(self) -> keepalive:
        if keeps_itself_alive(self.websocket):
            self.websocket.logger.warning(
                "websockets keeps this connection alive by itself: keepalive() does nothing; "
                "pass ping_interval and ping_timeout to connect() or serve() instead"
            )
        else:
            self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._stopped = True
            self._awaited.set()
        if self._thread.ident is not None:
            self._thread.join(self._mutex_timeout + CHECK_INTERVAL)

    def _run(self) -> None:
        try:
            while self._sleep() and self._ping():
                pass
        except ConnectionClosed:
            pass
        except Exception:
            self.websocket.logger.error("keepalive ping failed", exc_info=True)

    def _sleep(self) -> bool:
        """Wait for the next ping to be due; return False if there is to be none."""
        self._wait_for(threading.Event(), self.ping_interval - self._latency)
        return not self._is_over()

    def _ping(self) -> bool:
        """Send a ping and wait for the pong; return False if the connection had to be failed."""
        can_send = self._can_send()
        if self._is_over():
            return False
        if not can_send:
            hang_up(self.websocket.socket)
            return False
        sent_at = time.monotonic()
        pong = self.websocket.ping()
        if self.ping_timeout is None:
            return True
        if self._wait_for(pong, self.ping_timeout):
            self._latency = time.monotonic() - sent_at
        elif not self._is_over():
            fail(self.websocket)
            return False
        return True

    def _can_send(self) -> bool:
        """Tell whether the mutex can be had, which a thread blocked in sendall() holds."""
        mutex = self.websocket.protocol_mutex
        if acquired := mutex.acquire(timeout=self._mutex_timeout):
            mutex.release()
        return acquired

    def _wait_for(self, event: threading.Event, timeout: float) -> bool:
        """Wait until the event is set, and return whether it was; __exit__() sets it too."""
        with self._lock:
            self._awaited = event
            if self._stopped:
                return False
        deadline = time.monotonic() + timeout
        while not self._is_over():
            remaining = deadline - time.monotonic()
            if event.wait(max(0, min(remaining, CHECK_INTERVAL))):
                return not self._stopped
            if remaining <= 0:
                return False
        return False

    @property
    def _mutex_timeout(self) -> float:
        return self.ping_timeout or self.ping_interval

    def _is_over(self) -> bool:
        return self._stopped or not self.websocket.recv_events_thread.is_alive()


def keeps_itself_alive(websocket: Connection) -> bool:
    """Tell whether the keepalive of websockets 15.0 and later is on for this connection."""
    return getattr(websocket, "ping_interval", None) is not None


def fail(websocket: Connection) -> None:
    """
    Fail the connection as :meth:`~websockets.protocol.Protocol.fail` does, and end it at once.

    ``send_context()`` would give the peer, from which nothing is heard, another ``close_timeout``
    seconds to answer the close frame.

    """
    if websocket.protocol_mutex.acquire(timeout=FAREWELL_TIMEOUT):
        try:
            if websocket.protocol.state.name == "OPEN":
                websocket.protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
                websocket.socket.settimeout(FAREWELL_TIMEOUT)
                websocket.send_data()
        except OSError:
            pass  # the peer never hears of it
        finally:
            websocket.protocol_mutex.release()
    hang_up(websocket.socket)
