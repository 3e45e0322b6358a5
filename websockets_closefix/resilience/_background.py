"""Calls what may wait for longer than whoever calls it."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Callable


def in_background(function: Callable[..., None], *args: Any) -> None:
    """Call a function that may wait for a lock that is never released."""
    thread = threading.Thread(target=function, args=args, name=function.__name__, daemon=True)
    with contextlib.suppress(RuntimeError):  # an interpreter that shuts down starts none
        thread.start()
