"""
AssertionError when ``recv()`` is cancelled as a fragment arrives, on 13.0 to 17.2.

A time limit around ``recv()`` elapses in the iteration of the event loop in which the next fragment
of a message comes in. What was fetched of the message is to be put back into a queue that is
asserted to be empty, and isn't; the fragments are lost, and the connection is unusable. 17.3 puts
them back in front, as this does.

"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

from .._fix import Args, Fix, Kwargs

if TYPE_CHECKING:
    from websockets.asyncio.messages import SimpleQueue


def reset(
    wrapped: Callable[..., None], instance: SimpleQueue[Any], args: Args, kwargs: Kwargs
) -> None:
    """Put items back in front of those that have come in since."""
    later = list(instance.queue)
    instance.queue.clear()
    wrapped(*args, **kwargs)
    instance.queue.extend(later)


FIX = Fix(
    name="asyncio.cancelled_recv",
    issue=None,
    symptom="AssertionError when recv() is cancelled as a fragment arrives",
    since=(13, 0),
    fixed=(17, 3),
    module="websockets.asyncio.messages",
    examined=("Assembler.get",),
    flawed=r"\bCancelledError\b.*\breset\b",
    cured=r"\bput_back\b",
    wrappers={"SimpleQueue.reset": reset},
)
