"""
Messages that were received before the connection closed are lost, on 13.0 to 14.0.

Closing the queue of messages clears it: a client that isn't waiting in ``recv()`` when the server
sends its last messages and closes never gets them. 14.1 keeps them (commits f17c11ab, 30348341).

When a queue is closed with something in it, this leaves it open for fetching until it is empty. A
queue that was empty is closed as before, so nothing is put in the way of receiving.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.asyncio.messages import Assembler


def close(wrapped: Callable[..., None], instance: Assembler, args: Args, kwargs: Kwargs) -> None:
    """Close the queue for what is to be put into it, but not for what is in it."""
    frames = list(instance.frames.queue)
    wrapped(*args, **kwargs)
    if frames:
        instance.frames.queue.extend(frames)
        instance.closed = False
        instance.paused = False  # there is nothing to resume any more
        keep_until_fetched(instance)


def keep_until_fetched(assembler: Assembler) -> None:
    """Have the queue end when it is empty, on this connection alone."""
    frames = assembler.frames

    async def get() -> Any:
        if frames.queue:
            return frames.queue.popleft()
        assembler.closed = True
        raise EOFError("stream of frames ended")

    frames.get = get  # type: ignore[assignment, method-assign]


FIX = Fix(
    name="asyncio.lost_messages",
    issue=None,
    symptom="messages that were received before the connection closed are lost",
    since=(13, 0),
    fixed=(14, 1),
    module="websockets.asyncio.messages",
    examined=("SimpleQueue.abort",),
    flawed=r"\bqueue clear\b",
    cured=None,
    wrappers={"Assembler.close": close},
)
