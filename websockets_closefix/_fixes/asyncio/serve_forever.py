"""
Ctrl-C hangs in ``serve_forever()`` while a client is connected, on 13.0 to 16.1.1.

It leaves everything to asyncio's server, which, when it is cancelled, waits for its connections to
end, from Python 3.12 on, without closing any; before that, and on uvloop, it returns and leaves
them open. 17.0 closes the server as ``close()`` does and waits for that (issue 1608, commits
422153c9, eb3600ce). So does this; the original goes on meanwhile, in a task of its own, because it
would close asyncio's server first if it were cancelled.

"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.asyncio.server import Server


async def serve_forever(
    wrapped: Callable[..., Any], instance: Server, args: Args, kwargs: Kwargs
) -> None:
    """Serve, and when this is cancelled, close the server and wait for its connections."""
    serving = asyncio.ensure_future(wrapped(*args, **kwargs))
    instance.closed_waiter.add_done_callback(lambda _: serving.cancel())  # uvloop doesn't
    try:
        await asyncio.wait([serving])
    except asyncio.CancelledError:
        instance.close()
        await asyncio.gather(serving, instance.wait_closed(), return_exceptions=True)
        raise
    serving.result()


FIX = Fix(
    name="asyncio.serve_forever",
    issue=1608,
    symptom="Ctrl-C hangs in serve_forever() while a client is connected",
    since=(13, 0),
    fixed=(17, 0),
    module="websockets.asyncio.server",
    examined=("Server.serve_forever",),
    flawed=r"^server serve_forever$",
    cured=r"\bwait_closed\b",
    wrappers={"Server.serve_forever": serve_forever},
)
