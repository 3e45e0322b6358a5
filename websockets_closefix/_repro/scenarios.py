"""The scenarios, in the order in which they are shown."""

from __future__ import annotations

from typing import Callable, NamedTuple

from . import ordinary
from .observing import Outcome
from .sync import (
    close_race,
    early_wakeup,
    paused_reader,
    pending_ping,
    reader_start,
    unread_message,
)

SIDES = ("client", "server")


class Scenario(NamedTuple):
    """A way to end connections."""

    bug: str
    """Name of the fix of the bug that it forces; empty for what is left to chance."""

    name: str
    """What happens, for a person."""

    end_connection: Callable[[str], Outcome]
    """Opens a connection, ends it and tells what came of it; takes one of SIDES."""


FORCED = (
    Scenario("sync.unread_message", "close(), a message unread", unread_message.close),
    Scenario("sync.unread_message", "send() after a reset, a message unread", unread_message.send),
    Scenario("sync.reader_start", "reset while opening", reader_start.reset_while_opening),
    Scenario("sync.early_wakeup", "recv(), another thread closes", early_wakeup.recv),
    Scenario(
        "sync.early_wakeup", "recv_streaming(), another thread closes", early_wakeup.recv_streaming
    ),
    Scenario("sync.early_wakeup", "iteration, another thread closes", early_wakeup.iterate),
    Scenario("sync.paused_reader", "close(), max_queue exceeded", paused_reader.close),
    Scenario("sync.paused_reader", "send() after a reset, max_queue exceeded", paused_reader.send),
    Scenario("sync.close_race", "close(), the reader thread closes too", close_race.close),
    Scenario("sync.close_race", "send() fails, the reader thread closes too", close_race.send),
    Scenario("sync.pending_ping", "close(), a ping pending", pending_ping.close),
)

ORDINARY = (
    Scenario("", "a receiver waiting", ordinary.close_while_receiving),
    Scenario("", "a ping pending", ordinary.close_with_pending_ping),
    Scenario("", "messages unread", ordinary.close_with_unread_messages),
    Scenario("", "two threads closing", ordinary.close_twice),
    Scenario("", "the peer resets", ordinary.send_until_reset),
)
