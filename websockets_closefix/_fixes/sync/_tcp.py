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
    with contextlib.suppress(OSError):  # it is closed already
        try:
            tcp(sock).shutdown(socket.SHUT_RDWR)
        finally:
            if sys.platform == "win32":
                tcp(sock).close()


def wait_for_data(sock: Any) -> None:
    """
    Wait until TCP has something to read, or has ended, for as long as the socket's own timeout.

    Raises:
        TimeoutError: If it hasn't, on Python 3.10 or later.

    """
    try:
        tcp(sock).recv(1, socket.MSG_PEEK)
    except TimeoutError:
        raise
    except OSError:
        pass  # whoever reads meets it, too


def tcp(sock: Any) -> Any:
    """Return a socket, or what is below its TLS."""
    sock = getattr(sock, "ssl_socket", sock)  # TLS in TLS has its socket inside
    return super(ssl.SSLSocket, sock) if isinstance(sock, ssl.SSLSocket) else sock
