"""
Closing hangs for ever while more than ``max_queue`` messages are unread, on 14.0 and 14.1.

The reader thread is paused until a message is fetched, and isn't told that the queue was closed.
As 14.2 does (issue 1555, commit 031ec31b), closing the queue resumes it.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.sync.messages import Assembler


def close(wrapped: Callable[..., None], instance: Assembler, args: Args, kwargs: Kwargs) -> None:
    """Close the queue, then resume the reader thread, which finds the socket shut down."""
    wrapped(*args, **kwargs)
    with instance.mutex:
        if instance.paused:
            instance.paused = False
            instance.resume()


FIX = Fix(
    name="sync.paused_reader",
    issue=1555,
    symptom="close() and send() hang for ever while more than max_queue messages are unread",
    since=(14, 0),
    fixed=(14, 2),
    module="websockets.sync.connection",
    examined=("Assembler.close",),
    flawed=r"\bframes\b",
    cured=r"\bresume\b",
    wrappers={"Assembler.close": close},
)
