"""Observes what comes out of each thread as a connection ends, and frees what hangs."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, Callable

from .. import waiting
from ..scenario import Hangs, Outcome, worst
from ..waiting import PATIENCE


class Caller(threading.Thread):
    """A thread of the application; ``raised`` is what came out of it."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.act = act
        self.raised: BaseException | None = None

    def run(self) -> None:
        """Call what the thread is there for."""
        try:
            self.act()
        except Exception as exc:
            self.raised = exc


def free(websocket: Any) -> None:
    """Close a connection by force, whatever its reader thread waits for."""
    with contextlib.suppress(OSError):
        # From 17.0 on, select() doesn't notice that a socket is closed without this.
        websocket.socket.shutdown(socket.SHUT_RDWR)
    if is_waiting_for_recv(websocket):
        messages = websocket.recv_messages
        messages.close()
        with messages.mutex:
            if getattr(messages, "paused", False):
                messages.paused = False
                messages.resume()
    websocket.recv_events_thread.join(PATIENCE)
    websocket.socket.close()


def observe(
    websocket: Any,
    *acts: Callable[[], object],
    free: Callable[[Any], None] = free,
) -> Outcome:
    """
    Call each of ``acts`` in a thread, then close the connection by force if it is still open.

    Args:
        websocket: The connection.
        acts: What its threads do.
        free: What frees threads that hang in it.

    Returns:
        The worst of what they raised, and what the reader thread raised until it ended.

    """
    callers = [Caller(act) for act in acts]
    with reader_exceptions(websocket.recv_events_thread) as raised:
        try:
            for caller in callers:
                caller.start()
            hanging = [caller for caller in callers if not has_ended(caller)]
            # If a caller hangs, the reader thread has had the same time.
            reader_hangs = websocket.socket.fileno() == -1 and not has_ended(
                websocket.recv_events_thread, 0 if hanging else waiting.HANG
            )
        finally:
            free(websocket)
        for caller in hanging:
            caller.join(PATIENCE)
            caller.raised = Hangs()
    reader = Hangs() if reader_hangs else next(iter(raised), None)
    return Outcome(worst(caller.raised for caller in callers), reader)


def has_ended(thread: threading.Thread, timeout: float | None = None) -> bool:
    """Wait for a thread to end, for HANG seconds by default, and tell whether it has."""
    thread.join(waiting.HANG if timeout is None else timeout)
    return not thread.is_alive()


def is_waiting_for_recv(websocket: Any) -> bool:
    """Tell whether the reader thread waits for messages to be fetched."""
    messages = websocket.recv_messages
    paused = getattr(messages, "paused", False)  # from 14.0 on
    return bool(paused or getattr(messages, "put_in_progress", False))


def is_unread(websocket: Any, count: int) -> bool:
    """Tell whether ``count`` messages, sent at once, have come; up to 13.1, only one does."""
    frames = getattr(websocket.recv_messages, "frames", None)  # from 14.0 on
    return is_waiting_for_recv(websocket) if frames is None else frames.qsize() == count


def reader_exceptions(reader: threading.Thread) -> Any:
    """Collect what ends the thread ``reader`` instead of printing it."""
    return thread_exceptions(lambda thread: thread is reader)


@contextlib.contextmanager
def thread_exceptions(of: Callable[[Any], bool]) -> Iterator[list[BaseException]]:
    """Collect what ends some threads instead of printing it."""
    raised: list[BaseException] = []

    def collect(args: Any) -> None:
        if of(args.thread):
            raised.append(args.exc_value)
        else:
            excepthook(args)

    excepthook, threading.excepthook = threading.excepthook, collect
    try:
        yield raised
    finally:
        threading.excepthook = excepthook
