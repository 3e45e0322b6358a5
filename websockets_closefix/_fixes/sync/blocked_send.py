"""
``close()`` hangs while another thread is blocked in ``send()``, on every release.

It waits for ``protocol_mutex``, without a time limit, before ``close_timeout`` begins to count. A
thread that sends to a peer which takes nothing holds the mutex for as long as that lasts; so does
the reader thread, if it is answering pings; two threads that send without a break may hand it to
each other; and a signal handler that closes, above ``send()``, waits for its own thread. No release
has cured it; the reference is the documentation of ``close_timeout``, and that of ``send()`` of the
asyncio implementation, which says that ``close()`` times out, then aborts the TCP connection.

The wrapper waits for the mutex for ``close_timeout``. When that has passed, the socket is shut
down, which wakes the thread that holds the mutex: ``send()`` raises ConnectionClosedError. So a
message that is being sent is cut, however healthy the peer, but never before. Where the mutex comes
free in time, the closing handshake has all of ``close_timeout``, as without the fix: what a peer is
still taking in isn't cut. Nothing is bounded by a ``close_timeout`` of None.

"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Callable

from ..._state import count_repair
from .._fix import Args, Fix, Kwargs
from ._tcp import shut_down_tcp

if TYPE_CHECKING:
    from websockets.sync.connection import Connection

GRACE = 1.0
"""Seconds that a thread may take to let go of the mutex once the socket is shut down."""


def close(wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs) -> None:
    """
    Close the connection, once the mutex is free or ``close_timeout`` has passed.

    In a signal handler above ``send()`` it returns when the socket is shut down; the rest is done
    by ``send()``, to which the handler returns.

    """
    if instance.close_timeout is None:
        wrapped(*args, **kwargs)
        return
    mutex = instance.protocol_mutex
    bound = SendingBound(instance, time.monotonic() + instance.close_timeout)
    try:
        bound.hook()
        if mutex.locked():
            if comes_free(mutex, instance.close_timeout):
                # Another thread may take this turn. Without the fix, it couldn't.
                bound.deadline = time.monotonic() + instance.close_timeout
            else:
                shut_down_tcp(instance.socket)
                if not comes_free(mutex, GRACE):
                    report(instance)
                    return
        wrapped(*args, **kwargs)
    finally:
        bound.unhook()


def comes_free(mutex: threading.Lock, timeout: float) -> bool:
    """
    Tell whether a lock comes free in time.

    It is taken, since that is how one waits for a lock in line with other threads, and let go.

    """
    taken: list[bool] = []
    try:
        # Takes it and notes that in one instruction. Between two of them, an exception out of a
        # signal handler could leave it locked.
        taken.extend(map(mutex.acquire, [True], [min(max(timeout, 0), threading.TIMEOUT_MAX)]))
    finally:
        if taken == [True]:
            mutex.release()
    return taken == [True]


class SendingBound:
    """
    Stands in for ``send_data()``, and has nobody block in it beyond a deadline.

    This is for threads that take the mutex after ``close()`` has looked. The close frame, and what
    comes after it, is bounded by websockets itself, with ``close_deadline``.

    """

    def __init__(self, connection: Connection, deadline: float) -> None:
        self.connection = connection
        self.deadline = deadline
        self.send_data = connection.send_data
        self.previous = vars(connection).get("send_data")
        self.timer: threading.Timer | None = None
        self.is_closing = True

    def hook(self) -> None:
        """Stand in for the connection's ``send_data()``."""
        self.connection.send_data = self  # type: ignore[method-assign]

    def unhook(self) -> None:
        """Put the original back, unless another thread that closes has been here since."""
        self.is_closing = False
        if self.timer is not None:
            self.timer.cancel()
        if vars(self.connection).get("send_data") is self:
            del self.connection.send_data
            if self.previous is not None:
                self.connection.send_data = self.previous

    def __call__(self) -> None:
        """Send; in any thread, which holds the mutex."""
        connection = self.connection
        may_block = connection.close_deadline is None and any(connection.protocol.writes)
        if may_block and self.is_closing and self.timer is None:
            self.start_timer()
        self.send_data()

    def start_timer(self) -> None:
        """Have TCP end at the deadline, if ``close()`` still waits for the mutex then."""
        self.timer = threading.Timer(max(self.deadline - time.monotonic(), 0), self.shut_down)
        self.timer.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread is to be had: it is as without the fix
            self.timer.start()
        if not self.is_closing:  # close() was interrupted just now
            self.timer.cancel()

    def shut_down(self) -> None:
        """End TCP, unless the closing handshake has begun; in the timer's thread."""
        if time.monotonic() < self.deadline:  # it has been put off
            self.start_timer()
        elif self.connection.close_deadline is None:
            shut_down_tcp(self.connection.socket)


def report(connection: Connection) -> None:
    """Say that the connection isn't closed yet, and by whom it will be."""
    count_repair()
    connection.logger.warning(
        "websockets-closefix repaired close(), which would hang: it has shut the socket down, and "
        "leaves the rest to the thread that holds protocol_mutex",
        stack_info=True,
    )


FIX = Fix(
    name="sync.blocked_send",
    issue=None,
    symptom="close() hangs while another thread is blocked in send()",
    since=(11, 0),
    fixed=None,
    module="websockets.sync.connection",
    examined=("Connection.close", "Connection.send_context"),
    flawed=(
        r"^(maybe_raise_legacy_warning )?send_context send_in_progress protocol fail "
        r"(CloseCode INTERNAL_ERROR )?send_close ConnectionClosed$"
        r"|^_GeneratorContextManager protocol_mutex protocol state .*\bclose_expected "
        r"(close_deadline )?Deadline close_timeout (close_deadline )?send_data\b"
    ),
    cured=None,
    wrappers={"Connection.close": close},
)
