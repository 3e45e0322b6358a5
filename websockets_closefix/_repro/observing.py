"""Observes how a connection ends, in each thread that has to do with it, and frees what hangs."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Optional

from websockets.exceptions import ConnectionClosed

PATIENCE = 5.0
"""Seconds after which a peer or a thread that was freed is given up."""

HANG = 3.0
"""Seconds after which a thread hangs; several times what any scenario takes to end."""

POLL_INTERVAL = 0.001
"""Seconds between two looks at what no event tells."""


class Hangs(Exception):
    """What ``Outcome`` holds for a thread that hadn't come back and had to be freed."""


class Outcome(NamedTuple):
    """What a scenario ended in: an exception, or :obj:`None` for a thread that met with none."""

    caller: BaseException | None
    reader: BaseException | None

    @property
    def leaked(self) -> bool:
        """Whether anything but ``ConnectionClosed`` came out, or anything in the reader thread."""
        closed_well = self.caller is None or isinstance(self.caller, ConnectionClosed)
        return not closed_well or self.reader is not None

    @property
    def hangs(self) -> bool:
        """Whether a thread had to be freed."""
        return isinstance(self.caller, Hangs) or isinstance(self.reader, Hangs)


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


def observe(websocket: Any, *acts: Callable[[], object]) -> Outcome:
    """
    Call each of ``acts`` in a thread, and free what hangs.

    Returns:
        The worst of what they raised, and what the reader thread raised until it ended. If the
        connection is still open after that, it is closed by force.

    """
    callers = [Caller(act) for act in acts]
    with reader_exceptions(websocket.recv_events_thread) as raised:
        try:
            for caller in callers:
                caller.start()
            hanging = [caller for caller in callers if not ends(caller)]
            # If a caller hangs, the reader thread has had the same time.
            reader_hangs = is_closed(websocket) and not ends(
                websocket.recv_events_thread, 0 if hanging else HANG
            )
        finally:
            free(websocket)
        for caller in hanging:
            caller.join(PATIENCE)
            caller.raised = Hangs()
    reader = Hangs() if reader_hangs else next(iter(raised), None)
    return Outcome(worst([caller.raised for caller in callers]), reader)


def ends(thread: threading.Thread, timeout: float | None = None) -> bool:
    """Wait for a thread to end, HANG seconds unless told otherwise, and tell whether it has."""
    thread.join(HANG if timeout is None else timeout)
    return not thread.is_alive()


def is_closed(websocket: Any) -> bool:
    """Tell whether somebody has closed the socket, so that the reader thread is about to end."""
    return bool(websocket.socket.fileno() == -1)


def worst(raised: list[BaseException | None]) -> BaseException | None:
    """Choose one of several outcomes: rather an internal error than ``ConnectionClosed``."""
    exceptions = [exc for exc in raised if exc is not None]
    internal_errors = [exc for exc in exceptions if not isinstance(exc, ConnectionClosed)]
    return next(iter(internal_errors + exceptions), None)


def free(websocket: Any) -> None:
    """End a connection by hand; the releases differ in what a reader thread can hang in."""
    with contextlib.suppress(OSError):
        # From 17.0 on it waits in select(), which never hears of a socket that is closed too early.
        websocket.socket.shutdown(socket.SHUT_RDWR)
    if is_waiting_for_recv(websocket):
        websocket.recv_messages.close()
        resume(websocket.recv_messages)
    websocket.recv_events_thread.join(PATIENCE)
    websocket.socket.close()


def is_waiting_for_recv(websocket: Any) -> bool:
    """Tell whether the reader thread waits for messages to be fetched."""
    messages = websocket.recv_messages
    paused = getattr(messages, "paused", False)  # from 14.0 on
    return bool(paused or getattr(messages, "put_in_progress", False))


def is_unread(websocket: Any, count: int) -> bool:
    """
    Tell whether ``count`` messages, sent at once, have come, and nothing is left to be taken in.

    Up to 13.1, it is stuck with the first.

    """
    frames = getattr(websocket.recv_messages, "frames", None)  # from 14.0 on
    return is_waiting_for_recv(websocket) if frames is None else frames.qsize() == count


def resume(messages: Any) -> None:
    """Let a paused reader thread go on."""
    with messages.mutex:
        if getattr(messages, "paused", False):
            messages.paused = False
            messages.resume()


def wait_until(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    """
    Wait for what no event tells.

    Raises:
        TimeoutError: If it isn't so within ``timeout`` seconds.

    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it isn't so after {timeout} s")
        time.sleep(POLL_INTERVAL)


def reader_exceptions(
    reader: threading.Thread,
) -> contextlib.AbstractContextManager[list[BaseException]]:
    """Collect what ends the thread ``reader`` instead of printing it."""
    return thread_exceptions(lambda thread: thread is reader)


@contextlib.contextmanager
def thread_exceptions(
    of: Callable[[threading.Thread | None], bool],
) -> Iterator[list[BaseException]]:
    """Collect what ends some threads instead of printing it; any thread may do so at any time."""
    global excepthook
    collector: Collector = (of, [])
    with collectors_lock:
        if not collectors:
            excepthook, threading.excepthook = threading.excepthook, collect
        collectors.append(collector)
    try:
        yield collector[1]
    finally:
        with collectors_lock:
            collectors.remove(collector)
            if not collectors:
                threading.excepthook = excepthook


def collect(args: Any) -> None:
    """Hand what ended a thread to its collector, else to the hook that was there before."""
    for of, raised in [*collectors]:
        if of(args.thread):
            raised.append(args.exc_value)
            return
    excepthook(args)


Collector = tuple[Callable[[Optional[threading.Thread]], bool], list[BaseException]]

collectors: list[Collector] = []
collectors_lock = threading.Lock()
excepthook = threading.excepthook
