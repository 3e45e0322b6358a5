"""Ends a connection for good where websockets didn't, and says so."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .._wrap import count_repair

if TYPE_CHECKING:
    from websockets.sync.connection import Connection


def is_closed(connection: Connection) -> bool:
    """Tell whether ``close_socket`` has done all it promises; without the assertion under -O."""
    return connection.protocol.state.name == "CLOSED" and connection.recv_messages.closed


def force_closed(connection: Connection) -> None:
    """Finish what the original left undone, so that nobody waits for this connection any more."""
    State = type(connection.protocol.state)
    if connection.protocol.state is not State.CLOSED:
        connection.protocol.state = State.CLOSED
    connection.recv_messages.close()


def has_caller(connection: Connection) -> bool:
    """Tell whether there is anybody to catch an exception; in the reader thread there isn't."""
    return threading.current_thread() is not connection.recv_events_thread


def report(connection: Connection, what: str, caught: Exception | None) -> None:
    """Count a repair and log it where the connection logs."""
    count_repair()
    connection.logger.warning(
        "websockets-closefix repaired %s", what, exc_info=caught, stack_info=caught is None
    )
