"""Asks with a ping whether the peer is there."""

from __future__ import annotations

import contextlib
import queue
import time

from websockets.sync.connection import Connection

from ._background import in_background
from ._state import POLL_INTERVAL, has_ended


class Ping:
    """A ping, for whose pong several threads may wait, one after the other."""

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
            # Of a connection that ends meanwhile, nobody sets it.
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
        return self._is_answered is None

    def is_outdated(self) -> bool:
        """Tell whether there was a pong, but so long ago that it says nothing any more."""
        return self._is_answered is True and self._is_late()
