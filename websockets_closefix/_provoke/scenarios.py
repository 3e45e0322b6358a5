"""The scenarios, in the order in which they are shown."""

from __future__ import annotations

from typing import Callable, NamedTuple

from . import early_reader, issue_1336, issue_1449, issue_1555, issue_1558, issue_1662, ordinary
from .observing import Outcome

SIDES = ("client", "server")


class Scenario(NamedTuple):
    """A way to end connections."""

    flaw: str
    """Name of the flaw that it forces; empty for what is left to chance."""

    name: str
    """What happens, for a person."""

    end_connection: Callable[[str], Outcome]
    """Opens a connection, ends it and tells what came of it; takes one of SIDES."""


FORCED = (
    Scenario("issue_1336", "close(), a message unread", issue_1336.close),
    Scenario("issue_1336", "send() after a reset, a message unread", issue_1336.send),
    Scenario("early_reader", "reset while opening", early_reader.reset_while_opening),
    Scenario("issue_1449", "recv(), another thread closes", issue_1449.recv),
    Scenario("issue_1449", "recv_streaming(), another thread closes", issue_1449.recv_streaming),
    Scenario("issue_1449", "iteration, another thread closes", issue_1449.iterate),
    Scenario("issue_1555", "close(), max_queue exceeded", issue_1555.close),
    Scenario("issue_1555", "send() after a reset, max_queue exceeded", issue_1555.send),
    Scenario("issue_1558", "close(), the reader thread closes too", issue_1558.close),
    Scenario("issue_1558", "send() fails, the reader thread closes too", issue_1558.send),
    Scenario("issue_1662", "close(), a ping pending", issue_1662.close),
)

ORDINARY = (
    Scenario("", "a receiver waiting", ordinary.close_while_receiving),
    Scenario("", "a ping pending", ordinary.close_with_pending_ping),
    Scenario("", "messages unread", ordinary.close_with_unread_messages),
    Scenario("", "two threads closing", ordinary.close_twice),
    Scenario("", "the peer resets", ordinary.send_until_reset),
)
