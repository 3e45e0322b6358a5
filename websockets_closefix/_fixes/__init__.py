"""
The table of contents: every bug in how connections end, one file each, by implementation.

A file says what an application meets, which releases have the bug and how it shows in their code,
and has the wrappers that fix it. To add one, write the file and put it into the table here. Where
several fixes wrap one method, the wrapper of the last one in the table is the outermost.

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

    """
    return TABLE[implementation]()


def every_fix() -> tuple[Fix, ...]:
    """Return the fixes of all implementations."""
    return tuple(fix for package in PACKAGES for fix in fixes_of(package))


def sync_fixes() -> tuple[Fix, ...]:
    """Return the fixes of ``websockets.sync``."""
    from .sync import (
        blocked_keepalive,
        blocked_send,
        close_deadline,
        close_race,
        early_wakeup,
        handshake_errors,
        late_messages,
        lost_messages,
        paused_reader,
        pending_ping,
        program_exit,
        reader_start,
        refused_handshake,
        server_shutdown,
        socket_shutdown,
        unread,
        unread_dropped,
        unread_message,
    )

    return (
        unread_message.FIX,
        reader_start.FIX,
        early_wakeup.FIX,
        unread_dropped.FIX,
        paused_reader.FIX,
        unread.FIX,
        blocked_send.FIX,
        close_race.FIX,
        pending_ping.FIX,
        blocked_keepalive.FIX,
        socket_shutdown.FIX,
        close_deadline.FIX,
        server_shutdown.FIX,
        program_exit.FIX,
        refused_handshake.FIX,
        handshake_errors.FIX,
        late_messages.FIX,
        lost_messages.FIX,
    )


def asyncio_fixes() -> tuple[Fix, ...]:
    """Return the fixes of ``websockets.asyncio``."""
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


def legacy_fixes() -> tuple[Fix, ...]:
    """Return the fixes of ``websockets.legacy``."""
    from .legacy import drain_lock

    return (drain_lock.FIX,)


TABLE = {
    "websockets.sync": sync_fixes,
    "websockets.asyncio": asyncio_fixes,
    "websockets.legacy": legacy_fixes,
}
