"""websockets 14.0 and 14.1: the reader thread stays paused while ``max_queue`` is exceeded."""

from ._unread import scenarios

SCENARIOS = scenarios("sync.paused_reader", "max_queue exceeded", count=400)
