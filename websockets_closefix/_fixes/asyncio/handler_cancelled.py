"""
A connection stays open when its handler is cancelled, on 13.0 to 17.0.

A handler that ends in CancelledError isn't followed by ``close()``: the client is left waiting, and
from Python 3.12 on ``wait_closed()`` hangs. 17.2 closes the connection with 1011, as after any
other exception. So does this, in the handler's place. (17.0.1 and 17.1 have the bug, too, in a
function that can't be wrapped: it is local to ``serve()``.)

"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Callable

from ..._state import is_wanted
from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection


def init(wrapped: Callable[..., None], instance: Server, args: Args, kwargs: Kwargs) -> None:
    """Create a server whose handler closes its connection when it is cancelled."""
    wrapped(*args, **kwargs)
    instance.handler = closing(instance.handler)


def closing(handler: Callable[[ServerConnection], Any]) -> Callable[[ServerConnection], Any]:
    """Have a handler close its connection when it is cancelled."""

    @functools.wraps(handler)
    async def handle(connection: ServerConnection) -> None:
        try:
            await handler(connection)
        except asyncio.CancelledError:
            if is_wanted():
                await connection.close(1011)
            raise

    return handle


FIX = Fix(
    name="asyncio.handler_cancelled",
    issue=None,
    symptom="a connection stays open when its handler is cancelled",
    since=(13, 0),
    fixed=(17, 0, 1),
    module="websockets.asyncio.server",
    examined=("Server.conn_handler",),
    flawed=r"\bhandler\b(?!.*\bCancelledError\b)",
    cured=None,
    wrappers={"Server.__init__": init},
)
