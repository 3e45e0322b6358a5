"""Tells when a connection has nothing to receive any more."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection


def call_before_discarding(
    connection: Connection, function: Callable[[Connection], object]
) -> None:
    """
    Call a function with a connection when the protocol turns to discarding what the peer sends.

    It does so once for each connection: when a close frame has come, after our own close frame for
    an error, or at the end of the stream.

    """
    protocol = connection.protocol
    discard = protocol.discard  # another fix's, perhaps

    def call_and_discard() -> Generator[None, None, None]:
        vars(protocol).pop("discard", None)  # the other fix's may have done so
        function(connection)
        return discard()

    # On this connection alone, and off the path of its messages.
    protocol.discard = call_and_discard  # type: ignore[method-assign]
