"""Reproduces the bugs of ``websockets.asyncio``."""

from . import (
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

SCENARIOS = (
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
