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
            *unread_message.SCENARIOS,
            *reader_start.SCENARIOS,
            *early_wakeup.SCENARIOS,
            *paused_reader.SCENARIOS,
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
            *blocked_send.SCENARIOS,
            *blocked_keepalive.SCENARIOS,
            *unread.SCENARIOS,
            *unread_dropped.SCENARIOS,
        )
    return ()
