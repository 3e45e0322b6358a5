"""Calls what may wait for longer than whoever calls it."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Any, Callable


def in_background(function: Callable[..., None], *args: Any) -> None:
    """Call a function that may wait for a lock that is never released."""
    if sys.is_finalizing():  # up to 3.11, start() waits for ever then
        return
    thread = threading.Thread(target=function, args=args, name=function.__name__, daemon=True)
    with contextlib.suppress(RuntimeError):  # from 3.12 on, also when atexit's functions run
        thread.start()
