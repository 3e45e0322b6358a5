"""Calls what may wait for longer than whoever calls it."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Any, Callable


def in_background(function: Callable[..., None], *args: Any) -> bool:
    """
    Call a function that may wait for a lock that is never released.

    Returns:
        Whether a thread could be started for it; what it raises, nobody hears.

    """

    def call() -> None:
        with contextlib.suppress(Exception):
            function(*args)

    if sys.is_finalizing():  # up to 3.11, start() waits for ever then
        return False
    try:
        threading.Thread(target=call, name=function.__name__, daemon=True).start()
    except RuntimeError:  # there are too many; from 3.12 on, also when atexit's functions run
        return False
    return True
