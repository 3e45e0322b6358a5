"""
Closing takes the whole ``close_timeout`` while more than ``max_queue`` frames are unread.

A stream that is left early: ``close()``, or leaving ``async with``, takes 10 s by default, for ever
with ``close_timeout=None``, and ends in 1006, though the peer answers at once. Reading is paused
until messages are fetched, and the peer's close frame is behind them. No release has cured it
(issue 1555 as filed; 14.2 cured what follows from it on 14.0 and 14.1).

While a connection is being closed, up to BYTES_WHILE_CLOSING are read on, whatever the number of
frames. Nothing is dropped: a task that is fetching messages gets all of them.

"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection
    from websockets.asyncio.messages import Assembler

BYTES_WHILE_CLOSING = 16 * 2**20
"""Bytes to read at most beyond ``max_queue``; where there are more, it is as without the fix."""


async def close(
    wrapped: Callable[..., Any], instance: Connection, args: Args, kwargs: Kwargs
) -> None:
    """Close, and keep reading from now on."""
    if not instance.connection_lost_waiter.done():
        keep_reading(instance.recv_messages)
    await wrapped(*args, **kwargs)


close.__qualname__ = "Connection.close"  # as its coroutines are called in warnings and tasks


def keep_reading(messages: Assembler) -> None:
    """Resume reading, and don't pause it again for BYTES_WHILE_CLOSING."""
    if "maybe_pause" in vars(messages):
        return  # it is being closed already
    # What is unread would be kept until it is garbage-collected if the two held each other.
    frames, reference = messages.frames, weakref.ref(messages)
    left = BYTES_WHILE_CLOSING

    def maybe_pause() -> None:
        nonlocal left
        left -= len(frames.queue[-1].data)
        messages = reference()
        if left < 0 and messages is not None:
            type(messages).maybe_pause(messages)

    # On this connection alone, so that no other has to pay for it on receiving.
    messages.maybe_pause = maybe_pause  # type: ignore[method-assign]
    if messages.paused:
        messages.paused = False
        messages.resume()


FIX = Fix(
    name="asyncio.unread",
    issue=1555,
    symptom="close() takes the whole close_timeout while more than max_queue frames are unread",
    since=(13, 0),
    fixed=None,
    module="websockets.asyncio.connection",
    examined=("Connection.close",),
    flawed=r"^send_context (fragmented_send_waiter|send_in_progress) protocol fail "
    r"(CloseCode INTERNAL_ERROR )?send_close ConnectionClosed$",
    cured=None,
    wrappers={"Connection.close": close},
)
