"""
websockets 14.0 and 14.1: closing hangs while more than ``max_queue`` messages are unread.

The reader thread is paused until somebody fetches some, and nobody tells it that the queue was
closed. As 14.2 does (commit 031ec31b), closing the queue resumes it.

"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from websockets.sync.messages import Assembler


def close(
    wrapped: Callable[..., None],
    instance: Assembler,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Close the queue, then resume the reader thread, which finds the socket shut down."""
    wrapped(*args, **kwargs)
    with instance.mutex:
        if instance.paused:
            instance.paused = False
            instance.resume()
