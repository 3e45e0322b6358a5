"""Finds the connection whose closing handshake has just begun."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from websockets.protocol import Protocol


def connection_that_closes(protocol: Protocol) -> Any:
    """
    Return the connection of ``websockets.sync`` whose reader thread, this one, begins to close it.

    To be called by wrappers of ``Protocol.discard``, which takes the place of the parser once a
    close frame has been received or the connection has been failed. That happens once, at the end
    of a connection, in the thread that found it out, which holds ``protocol_mutex``. A connection
    puts itself into its protocol's logger.

    Returns:
        The connection, or a weak proxy of it; :obj:`None` if it isn't one of ``websockets.sync``,
        was never open, or is being closed by another thread, which waits for its end itself.

    """
    connection = (getattr(protocol.logger, "extra", None) or {}).get("websocket")
    reader = getattr(connection, "recv_events_thread", None)
    is_closing = protocol.state.name == "CLOSING" and reader is threading.current_thread()
    return connection if is_closing else None
