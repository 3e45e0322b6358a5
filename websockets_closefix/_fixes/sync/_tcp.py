"""Ends the TCP connection below a socket, whatever is on top of it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
from typing import Any


def shut_down_tcp(sock: Any) -> None:
    """
    Shut the TCP connection down, which wakes every thread that is blocked in the socket.

    TLS is left as it is: ``SSLSocket.shutdown()`` drops it first, and a thread that comes to read
    or write after that would go on in plain text. On Windows threads are woken when the socket is
    closed, as websockets has it in ``close_socket()``.

    """
    with contextlib.suppress(OSError):  # it is closed already; gevent's then knows no attribute
        sock = getattr(sock, "ssl_socket", sock)  # TLS in TLS has its socket inside
        try:
            if isinstance(sock, ssl.SSLSocket):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            else:
                sock.shutdown(socket.SHUT_RDWR)
        finally:
            if sys.platform == "win32":
                sock.close()
