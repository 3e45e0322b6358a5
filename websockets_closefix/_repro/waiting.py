"""How long to wait at most, and waiting for what no event tells of."""

from __future__ import annotations

import time
from typing import Callable

PATIENCE = 5.0
"""Seconds after which a peer or a thread that was freed is given up."""

HANG = 3.0
"""Seconds after which a thread hangs; several times what any scenario takes to end."""

POLL_INTERVAL = 0.001
"""Maximum polling interval, in seconds."""


def wait_until(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    """
    Wait until a condition holds.

    Raises:
        TimeoutError: If it doesn't hold within ``timeout`` seconds.

    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition doesn't hold after {timeout} s")
        time.sleep(POLL_INTERVAL)
