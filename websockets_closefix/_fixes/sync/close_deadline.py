"""
``recv()`` and a server's ``shutdown()`` hang when the peer leaves TCP open, on 17.3 and 17.4.

Once the peer has sent a close frame, or this end has failed the connection (1009 for a message that
is too big, say), all that is left is the end of TCP. If the peer never ends it, the reader thread
does when ``close_timeout`` has passed, up to 17.2, where it read with a timeout. Since then it
waits in ``select()``, without any; if no thread happens to send, ping or close, which would wait
for the end and enforce it, everybody waits for good.

The reader thread of the one connection that is ending gets its timeout back, just before it reads:
``recv_flow_control``, which it takes and releases there, is replaced.

"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs
from ._closing import connection_that_closes

if TYPE_CHECKING:
    from websockets.protocol import Protocol


def discard(
    wrapped: Callable[..., Generator[None]], instance: Protocol, args: Args, kwargs: Kwargs
) -> Generator[None]:
    """Have the reader thread keep to ``close_timeout`` from now on."""
    connection = connection_that_closes(instance)
    if connection is not None:
        connection.recv_flow_control = CloseDeadline(connection)
    return wrapped(*args, **kwargs)


class CloseDeadline:
    """What the reader thread enters before it reads; it leaves with TimeoutError at the latest."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.recv_flow_control = connection.recv_flow_control

    def __enter__(self) -> None:
        """
        Wait until there is something to read, or until the connection has been closed.

        Raises:
            TimeoutError: If ``close_timeout`` has passed, as of reading on 17.2.

        """
        with self.recv_flow_control:
            pass
        sock, timeout = self.connection.socket, self.connection.close_deadline.timeout()
        with contextlib.suppress(OSError):  # it has been closed
            sock.settimeout(timeout)  # for what is less than a TLS record
        try:
            if not can_read((sock, self.connection.shutdown_watcher), timeout):
                raise TimeoutError("timed out")
        except ValueError:
            pass  # the socket has been closed, and that is what the reader thread finds next

    def __exit__(self, *exc_info: object) -> None:
        pass


def can_read(socks: tuple[Any, ...], timeout: float | None) -> bool:
    """Wait until there is something to read from a socket; whatever it is, it has a descriptor."""
    # A selector for each connection that closes would cost several times as much.
    if not hasattr(select, "poll"):  # as on Windows
        return bool(select.select(socks, [], [], timeout)[0])
    poll = select.poll()
    for sock in socks:
        poll.register(sock, select.POLLIN)
    return bool(poll.poll(None if timeout is None else min(1000 * timeout, 2**31 - 1)))


FIX = Fix(
    name="sync.close_deadline",
    issue=None,
    symptom="recv() and a server's shutdown() hang when the peer leaves TCP open",
    since=(17, 3),
    fixed=None,
    module="websockets.sync.connection",
    examined=("Connection.recv_events",),
    # It waits for the socket to be readable, and does nothing with close_deadline but to set it.
    flawed=r"\brecv_flow_control select data recv recv_bufsize\b"
    r".*\bclose_expected close_deadline Deadline close_timeout process_event\b",
    cured=r"\b(timeout|settimeout)\b",
    wrappers={"Protocol.discard": discard},
)
