"""
Reproduces the bugs in how connections end, on real connections to 127.0.0.1.

One module a bug, in a folder for each implementation. Every wait is bounded, and what hangs is
freed. Nothing of the rest of the package is imported, to show what happens without the fixes.

"""

from __future__ import annotations

from .scenario import Scenario

__all__ = ["Scenario", "scenarios_of"]


def scenarios_of(implementation: str) -> tuple[Scenario, ...]:
    """
    Return what reproduces the bugs of one implementation, which is imported.

    Args:
        implementation: Name of a package, as for :func:`websockets_closefix._fixes.fixes_of`.

    """
    return TABLE[implementation]()


def sync_scenarios() -> tuple[Scenario, ...]:
    """Return what reproduces the bugs of ``websockets.sync``."""
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
        *unread_message.SCENARIOS,
        *reader_start.SCENARIOS,
        *early_wakeup.SCENARIOS,
        *unread_dropped.SCENARIOS,
        *paused_reader.SCENARIOS,
        *unread.SCENARIOS,
        *blocked_send.SCENARIOS,
        *blocked_keepalive.SCENARIOS,
        *close_race.SCENARIOS,
        *pending_ping.SCENARIOS,
        *socket_shutdown.SCENARIOS,
        *close_deadline.SCENARIOS,
        *server_shutdown.SCENARIOS,
        *program_exit.SCENARIOS,
        *refused_handshake.SCENARIOS,
        *handshake_errors.SCENARIOS,
        *late_messages.SCENARIOS,
        *lost_messages.SCENARIOS,
    )


def asyncio_scenarios() -> tuple[Scenario, ...]:
    """Return what reproduces the bugs of ``websockets.asyncio``."""
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
        *unread.SCENARIOS,
        *blocked_send.SCENARIOS,
        *close_frame.SCENARIOS,
        *abort.SCENARIOS,
        *cancelled_ping.SCENARIOS,
        *cancelled_recv.SCENARIOS,
        *lost_messages.SCENARIOS,
        *serve_forever.SCENARIOS,
        *handler_cancelled.SCENARIOS,
        *lost_before_made.SCENARIOS,
    )


def legacy_scenarios() -> tuple[Scenario, ...]:
    """Return what reproduces the bugs of ``websockets.legacy``."""
    from .legacy import drain_lock

    return drain_lock.SCENARIOS


TABLE = {
    "websockets.sync": sync_scenarios,
    "websockets.asyncio": asyncio_scenarios,
    "websockets.legacy": legacy_scenarios,
}
