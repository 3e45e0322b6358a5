"""
AssertionError out of ``send()`` and ``close()`` when two tasks write at once, on 16.0 to 17.4.

While more than ``write_limit`` is unsent, one task may wait for room, and a second one meets an
assertion: two tasks in ``send()``, or ``send()`` and ``close()``, keepalive or the answer to a
ping. The connection is then broken, "data transfer failed" is in the log, and ``server.close()``
may hang. Up to 15.0.1 there is a lock around it, which 16.0 dropped (commit 69ec85e6). Here each
connection gets one when its writing is paused for the first time, which most never meet.

"""

from __future__ import annotations

import asyncio
import functools
import weakref
from typing import TYPE_CHECKING, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.legacy.protocol import WebSocketCommonProtocol


def pause_writing(
    wrapped: Callable[..., None], instance: WebSocketCommonProtocol, args: Args, kwargs: Kwargs
) -> None:
    """Pause writing, and have tasks wait one after the other until it is resumed."""
    wrapped(*args, **kwargs)
    if "_drain_helper" not in vars(instance):
        # It keeps no hold of the connection, which would have to be garbage-collected otherwise.
        drain_helper = functools.partial(drain_in_turn, weakref.ref(instance), asyncio.Lock())
        instance._drain_helper = drain_helper  # type: ignore[method-assign]


async def drain_in_turn(
    reference: weakref.ref[WebSocketCommonProtocol], lock: asyncio.Lock
) -> None:
    """Wait for room to write once those that came before have it."""
    connection = reference()
    assert connection is not None  # its method is what calls this
    async with lock:
        await type(connection)._drain_helper(connection)


FIX = Fix(
    name="legacy.drain_lock",
    issue=None,
    symptom="AssertionError out of send() and close() when two tasks write at once",
    since=(16, 0),
    fixed=None,
    module="websockets.legacy.protocol",
    examined=("WebSocketCommonProtocol.drain",),
    flawed=r"^_drain ConnectionError fail_connection ensure_open$",
    cured=r"\b_drain_lock\b",
    wrappers={"WebSocketCommonProtocol.pause_writing": pause_writing},
)
