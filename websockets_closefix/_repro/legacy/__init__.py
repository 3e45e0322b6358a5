"""Reproduces the bugs of ``websockets.legacy``."""

from . import drain_lock

SCENARIOS = drain_lock.SCENARIOS
