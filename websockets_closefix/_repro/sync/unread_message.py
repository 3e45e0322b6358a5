"""websockets 11.0 and 11.0.1: the reader thread waits for ever until a message is fetched."""

from ._unread import scenarios

SCENARIOS = scenarios("sync.unread_message", "a message unread", count=1)
