"""
The table of contents: every bug in how connections end, one file each, by implementation.

A file says what an application meets, which releases have the bug and how it shows in their code,
and has the wrappers that fix it. To add one, write the file and put it into the table here.

"""

from __future__ import annotations

from .._state import PACKAGES
from ._fix import Fix

__all__ = ["Fix", "every_fix", "fixes_of"]


def fixes_of(implementation: str) -> tuple[Fix, ...]:
    """
    Return the fixes of one implementation, without importing those of the others.

    Args:
        implementation: Name of a package: ``websockets.sync``, ``websockets.asyncio`` or
            ``websockets.legacy``.

    Returns:
        The fixes, in the order in which their wrappers are put on: where several wrap one method,
        the last is the outermost.

    """
    if implementation == "websockets.sync":
        from .sync import (
            close_race,
            early_wakeup,
            paused_reader,
            pending_ping,
            reader_start,
            unread_message,
        )

        return (
            unread_message.FIX,
            reader_start.FIX,
            early_wakeup.FIX,
            paused_reader.FIX,
            close_race.FIX,
            pending_ping.FIX,
        )
    if implementation == "websockets.asyncio":
        from .asyncio import (
            abort,
            blocked_send,
            cancelled_ping,
            cancelled_recv,
            close_frame,
            handler_cancelled,
            lost_before_made,
            lost_messages,
            serve_forever,
            unread,
        )

        return (
            unread.FIX,
            blocked_send.FIX,
            close_frame.FIX,
            abort.FIX,
            cancelled_ping.FIX,
            cancelled_recv.FIX,
            lost_messages.FIX,
            serve_forever.FIX,
            handler_cancelled.FIX,
            lost_before_made.FIX,
        )
    if implementation == "websockets.legacy":
        from .legacy import drain_lock

        return (drain_lock.FIX,)
    return ()


def every_fix() -> tuple[Fix, ...]:
    """Return the fixes of all implementations."""
    return tuple(fix for package in PACKAGES for fix in fixes_of(package))
