"""
websockets 14.0 and later: a message comes while another thread closes.

The reader thread is held when it is about to put the message into the buffer, until that is closed.

"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from typing import Any

from ..peers import messages, stay_silent
from ..scenario import Outcome, Scenario
from ..waiting import PATIENCE, wait_until
from . import holding
from .ends import opened
from .observing import observe


class ErrorLogged(Exception):
    """What ``Outcome`` holds where an error was logged."""


def close(side: str) -> Outcome:
    """Close when a message has just come."""
    is_held, has_message = threading.Event(), threading.Event()

    def send_message(sock: socket.socket) -> None:
        is_held.wait(PATIENCE)
        sock.sendall(messages(1, mask=side == "server"))
        stay_silent(sock)

    def hold(event: Any) -> None:
        has_message.set()
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: websocket.recv_messages.closed, holding.HOLD)
        process_event(event)

    def close_then() -> None:
        has_message.wait(PATIENCE)
        websocket.close()
        websocket.recv_events_thread.join(PATIENCE)
        if errors:
            raise ErrorLogged(errors[0].getMessage())

    errors: list[logging.LogRecord] = []
    logger = logging.Logger(__name__, logging.ERROR)
    logger.addFilter(lambda record: errors.append(record) or False)  # type: ignore[func-returns-value]
    with opened(side, send_message, logger=logger, close_timeout=0.1) as websocket:
        process_event, websocket.process_event = websocket.process_event, hold
        is_held.set()
        return observe(websocket, close_then)


SCENARIOS = (
    Scenario("sync.late_messages", "close(), a message has just come", close, ErrorLogged),
)
