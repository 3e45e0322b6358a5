"""Finds the connection that a protocol belongs to, for wrappers of what ends connections."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from websockets.protocol import Protocol


def connection_of(protocol: Protocol) -> Any:
    """
    Return the connection that a protocol belongs to, or a weak proxy of it, or :obj:`None`.

    A protocol doesn't know its connection, but each connection puts itself into its protocol's
    logger.

    """
    return (getattr(protocol.logger, "extra", None) or {}).get("websocket")


def connection_of_this_reader(protocol: Protocol) -> Any:
    """
    Return the connection of ``websockets.sync`` whose reader thread this is.

    Returns:
        The connection, or a weak proxy of it; :obj:`None` in any other thread, and if it is a
        connection of ``websockets.asyncio``, which has no thread, or a protocol without one.

    """
    connection = connection_of(protocol)
    reader = getattr(connection, "recv_events_thread", None)
    return connection if reader is threading.current_thread() else None


def connection_that_closes(protocol: Protocol) -> Any:
    """
    Return the connection of ``websockets.sync`` whose closing handshake this thread begins.

    To be called by wrappers of ``Protocol.discard``, which takes the parser's place once a close
    frame has been received or the connection has been failed. That happens once, at the end of a
    connection, in the thread that found it out, which holds ``protocol_mutex``.

    Returns:
        The connection; :obj:`None` if it was never open, or if this isn't its reader thread:
        another thread that closes a connection waits for its end itself.

    """
    is_closing = protocol.state.name == "CLOSING"
    return connection_of_this_reader(protocol) if is_closing else None
