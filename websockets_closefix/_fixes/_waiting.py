"""Waiting for what no event tells of, in bounded time."""

from __future__ import annotations

import time
from typing import Callable

POLL_INTERVAL = 0.001
"""Seconds between two looks."""


def wait_until(condition: Callable[[], object], timeout: float) -> bool:
    """
    Wait until a condition holds.

    Args:
        condition: Called until it returns something true.
        timeout: Seconds to wait at most.

    Returns:
        Whether it came to hold.

    """
    # Counted, since a test of the application's may have stopped the clock.
    for _ in range(int(timeout / POLL_INTERVAL)):
        if condition():
            return True
        time.sleep(POLL_INTERVAL)
    return bool(condition())
