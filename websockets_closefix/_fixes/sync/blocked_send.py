"""
``close()`` hangs while another thread is blocked in ``send()``, on every release.

It waits for ``protocol_mutex``, without a time limit, before ``close_timeout`` begins to count. A
thread that sends to a peer which takes nothing holds the mutex for as long as that lasts; so does
the reader thread, if it is answering pings; two threads that send without a break may hand it to
each other; and a signal handler that closes, above ``send()``, waits for its own thread. No release
has cured it; the reference is the documentation of ``close_timeout``, and that of ``send()`` of the
asyncio implementation, which says that ``close()`` times out, then aborts the TCP connection.

The wrapper has ``close_timeout`` count from when ``close()`` is called. When it has passed, the
socket is shut down, which wakes the thread that holds the mutex: ``send()`` raises
ConnectionClosedError. So a message that is being sent is cut, however healthy the peer, but never
before. Nothing is bounded by a ``close_timeout`` of None.

"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable

from ..._state import count_repair
from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.sync.connection import Connection
    from websockets.sync.utils import Deadline

GRACE = 1.0
"""Seconds that a thread may take to let go of the mutex once the socket is shut down."""


def close(wrapped: Callable[..., None], instance: Connection, args: Args, kwargs: Kwargs) -> None:
    """
    Close the connection within ``close_timeout``.

    In a signal handler above ``send()`` it returns when the socket is shut down; the rest is done
    by ``send()``, to which the handler returns.

    """
    if instance.close_timeout is None:
        wrapped(*args, **kwargs)
        return
    with sending_bounded(instance, time.monotonic() + instance.close_timeout):
        if not comes_free(instance.protocol_mutex, instance.close_timeout):
            shut_down_tcp(instance.socket)
            if not comes_free(instance.protocol_mutex, GRACE):
                report(instance)
                return
        wrapped(*args, **kwargs)


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


@contextlib.contextmanager
def sending_bounded(connection: Connection, deadline: float) -> Iterator[None]:
    """
    Have nothing sent beyond a deadline, for a while.

    This is for the close frame, and for threads that take the mutex after ``close()`` has looked.

    """
    send_data, previous = connection.send_data, vars(connection).get("send_data")
    timer: threading.Timer | None = None
    is_closing = True

    def send_data_in_time() -> None:
        """Send; in any thread, which holds the mutex."""
        nonlocal timer
        if is_closing and connection.close_deadline is not None:
            # It is the close frame, or comes after it: websockets keeps to this deadline.
            keep_to(connection.close_deadline, deadline)
            if timer is not None:
                timer.cancel()
        elif is_closing and timer is None and any(connection.protocol.writes):
            timer = shut_down_at(deadline, connection)
        send_data()

    try:
        connection.send_data = send_data_in_time  # type: ignore[method-assign]
        yield
    finally:
        is_closing = False
        if timer is not None:
            timer.cancel()
        if vars(connection).get("send_data") is send_data_in_time:
            del connection.send_data
            if previous is not None:  # of another thread that closes, too
                connection.send_data = previous  # type: ignore[method-assign]


def keep_to(close_deadline: Deadline, deadline: float) -> None:
    """Bring the end of the closing handshake forward; ``close_timeout`` isn't None."""
    close_deadline.deadline = min(close_deadline.deadline or deadline, deadline)


def shut_down_at(deadline: float, connection: Connection) -> threading.Timer | None:
    """Start a timer that ends TCP."""
    seconds = max(deadline - time.monotonic(), 0)
    timer = threading.Timer(seconds, shut_down_tcp, [connection.socket])
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:  # no thread is to be had
        return None
    return timer


def shut_down_tcp(sock: socket.socket) -> None:
    """
    Shut the socket down below TLS, which wakes a thread that is blocked in it.

    After the ``shutdown()`` of a TLS socket, a thread that is sending would go on in plain text.

    """
    sock = getattr(sock, "ssl_socket", sock)  # TLS in TLS, from 15.0 on
    with contextlib.suppress(OSError):
        if isinstance(sock, socket.socket):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        else:
            sock.shutdown(socket.SHUT_RDWR)


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
        r"close_deadline Deadline close_timeout send_data\b"
    ),
    cured=None,
    wrappers={"Connection.close": close},
)
