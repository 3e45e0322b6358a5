"""Has the kernel give up a peer that takes nothing: TCP_USER_TIMEOUT (:rfc:`5482`), on Linux."""

from __future__ import annotations

import contextlib
import socket
from typing import Any


def set_user_timeout(sock: socket.socket, seconds: float) -> bool:
    """Set for how long a peer may take nothing, unless the program has; tell whether it is set."""
    option: Any = getattr(socket, "TCP_USER_TIMEOUT", None)
    with contextlib.suppress(OSError):  # it isn't TCP, or is closed already
        if option is not None and sock.getsockopt(socket.IPPROTO_TCP, option) == 0:
            milliseconds = min(max(round(1000 * seconds), 1), 2**31 - 1)
            sock.setsockopt(socket.IPPROTO_TCP, option, milliseconds)
            return True
    return False
