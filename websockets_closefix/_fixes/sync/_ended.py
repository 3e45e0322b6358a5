"""Ends a connection for good where websockets didn't, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._state import count_repair
from .unread_dropped import is_ending

if TYPE_CHECKING:
    from websockets.sync.connection import Connection


def is_closed(connection: Connection) -> bool:
    """Tell whether ``close_socket`` has done all it promises; without the assertion under -O."""
    messages = connection.recv_messages
    return connection.protocol.state.name == "CLOSED" and (messages.closed or is_ending(messages))


def force_closed(connection: Connection) -> None:
    """Finish what the original left undone, so that no thread waits for this connection."""
    State = type(connection.protocol.state)
    if connection.protocol.state is not State.CLOSED:
        connection.protocol.state = State.CLOSED
    connection.recv_messages.close()


def report(connection: Connection, what: str, caught: Exception | None) -> None:
    """Count a repair and log it where the connection logs."""
    count_repair()
    connection.logger.warning(
        "websockets-closefix repaired %s", what, exc_info=caught, stack_info=caught is None
    )
