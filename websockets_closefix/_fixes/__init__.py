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
            blocked_keepalive.FIX,
            close_race.FIX,
            pending_ping.FIX,
            socket_shutdown.FIX,
            close_deadline.FIX,
            server_shutdown.FIX,
            program_exit.FIX,
            refused_handshake.FIX,
            handshake_errors.FIX,
            late_messages.FIX,
            lost_messages.FIX,
        )
    return ()


def every_fix() -> tuple[Fix, ...]:
    """Return the fixes of all implementations."""
    return tuple(fix for package in PACKAGES for fix in fixes_of(package))
