"""
The wrapper around ``Connection.close_socket``, and putting it on and taking it off.

websockets 13.1 to 14.1 call ``protocol.receive_eof()`` in ``close_socket`` without taking
``protocol_mutex``, so that two threads can drive one parser (upstream issue 1558). The wrapper

1. prevents: it calls ``receive_eof()`` itself, under the mutex, as upstream does since 14.2;
2. repairs what the first layer couldn't prevent, so that the connection ends closed and the
   application gets :exc:`~websockets.exceptions.ConnectionClosed`.

"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import wrapt

from ._gate import is_ours, layers

# Nothing of websockets is imported: after a purge of sys.modules there is more than one copy of
# it, and each connection brings the classes of its own.
if TYPE_CHECKING:
    from websockets.sync.connection import Connection

MUTEX_TIMEOUT = 1.0
"""
Seconds to wait for ``protocol_mutex``.

Once the socket is hung up, whoever else holds the mutex is about to let go. Only a thread that
holds it itself waits in vain: ``process_request`` and ``process_response`` run under the mutex,
and may call ``close_socket()``.

"""

RACE_ERRORS = (AssertionError, EOFError, StopIteration, ValueError)
"""
What two threads driving one parser can raise.

A state that isn't CLOSED yet, a stream that the other thread has ended, a parser that has
finished or died, and "generator already executing".

"""


def close_socket(
    wrapped: Callable[..., None],
    instance: Connection,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """
    Close the connection as websockets 14.2 does, and repair what cannot be closed like that.

    Raises:
        ConnectionClosed: If closing had to be repaired, unless nobody is there to catch it (the
            reader thread) or something better is about to be raised (the connection never
            opened).

    """
    caught = None
    was_open = True
    # The second thread to get here needs no prevention: CLOSED is final, and the parser, which
    # only comes to it at the end of the stream, isn't going to be driven any more.
    if instance.protocol.state.name != "CLOSED":
        # A thread that is blocked in sendall() holds the mutex until the socket is shut down.
        hang_up(instance.socket)
        with bounded(instance.protocol_mutex):
            was_open = instance.protocol.state.name != "CONNECTING"
            try:
                instance.protocol.receive_eof()
            except RACE_ERRORS as exc:
                caught = exc
    try:
        # It finds receive_eof() called already, which is all that it needed the mutex for.
        wrapped(*args, **kwargs)
    except RACE_ERRORS as exc:
        caught = caught or exc
    if caught is None and is_closed(instance):
        return
    with bounded(instance.protocol_mutex):
        force_closed(instance)
    report(instance, caught)
    if was_open and threading.current_thread() is not instance.recv_events_thread:
        raise_connection_closed(instance, caught)


def hang_up(sock: socket.socket) -> None:
    """Shut down and close the socket; ``close_socket`` does it again, to no effect."""
    with contextlib.suppress(OSError):  # it is closed already
        sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        sock.close()


@contextlib.contextmanager
def bounded(mutex: threading.Lock) -> Iterator[None]:
    """Hold the mutex, or go on without it when it cannot be had in MUTEX_TIMEOUT seconds."""
    acquired = mutex.acquire(timeout=MUTEX_TIMEOUT)
    try:
        yield
    finally:
        if acquired:
            mutex.release()


def is_closed(connection: Connection) -> bool:
    """Tell whether ``close_socket`` has done all it promises; without the assertion under -O."""
    return connection.protocol.state.name == "CLOSED" and connection.recv_messages.closed


def force_closed(connection: Connection) -> None:
    """Finish what the original left undone, so that nobody waits for this connection any more."""
    State = type(connection.protocol.state)
    if connection.protocol.state is not State.CLOSED:
        connection.protocol.state = State.CLOSED
    connection.recv_messages.close()
    # No affected release has pings with ack_on_close, which came in 15.0, but a backport may.
    terminate_pending_pings = getattr(connection, "terminate_pending_pings", None)
    if terminate_pending_pings is not None:
        terminate_pending_pings()


def report(connection: Connection, caught: Exception | None) -> None:
    """Count the repair and log it where the connection logs."""
    global _repaired
    with _repaired_lock:
        _repaired += 1
    connection.logger.warning(
        "websockets-closefix repaired close_socket(), which left the connection half closed "
        "(websockets issue 1558)",
        exc_info=caught,
        stack_info=caught is None,
    )


def raise_connection_closed(connection: Connection, caught: Exception | None) -> None:
    """Raise ``ConnectionClosed`` from what ended the connection, as far as that is known."""
    exc = connection.protocol.close_exc
    raise exc from (network_error(connection) or caught or exc.__cause__)


def network_error(connection: Connection) -> BaseException | None:
    """
    Return the error that made a thread give the connection up, if it left a trace.

    The reader thread keeps it in ``recv_exc``, but ``send_context()`` in a local variable, for
    the ``ConnectionClosed`` that it raises itself as soon as ``close_socket()`` returns.

    """
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "send_context" and frame.f_locals.get("self") is connection:
            original_exc: BaseException | None = frame.f_locals.get("original_exc")
            return original_exc or connection.recv_exc
        frame = frame.f_back  # type: ignore[assignment]
    return connection.recv_exc


def repaired() -> int:
    """Return how many closes had to be repaired in this process."""
    return _repaired


_repaired = 0
_repaired_lock = threading.Lock()


def wrap(connection_class: type[Connection], enabled: Callable[[], bool]) -> None:
    """
    Put the wrapper on, unless it is on already.

    Args:
        connection_class: The class that defines ``close_socket``.
        enabled: Asked at each call; where it says no, wrapt calls the original directly.

    """
    if not any(is_ours(layer) for layer in layers(vars(connection_class)["close_socket"])):
        wrapt.wrap_object(
            connection_class, "close_socket", wrapt.FunctionWrapper, (close_socket, enabled)
        )


def unwrap(connection_class: type[Connection]) -> None:
    """Put the original function object back, unless something else has been put over it."""
    outermost = vars(connection_class)["close_socket"]
    if is_ours(outermost):
        connection_class.close_socket = outermost.__wrapped__  # type: ignore[method-assign]
