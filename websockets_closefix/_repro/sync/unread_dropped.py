"""websockets 14.0: what was received before the peer closed is lost."""

from __future__ import annotations

import contextlib
import socket

from websockets.exceptions import ConnectionClosed

from ..peers import messages
from ..scenario import Outcome, Scenario
from ..waiting import PATIENCE
from .ends import opened
from .observing import observe
from .unread import send_close_frame

COUNT = 3


class MessagesLost(Exception):
    """Some messages that were received can't be fetched."""


def recv(side: str) -> Outcome:
    """Receive from a peer that sends some messages and closes, once all that has come."""

    def send_then_close(sock: socket.socket) -> None:
        mask = side == "server"
        sock.sendall(messages(COUNT, mask=mask))
        send_close_frame(sock, mask=mask)

    def receive_all() -> None:
        received = []
        websocket.recv_events_thread.join(PATIENCE)
        with contextlib.suppress(ConnectionClosed):
            while True:
                received.append(websocket.recv())
        if len(received) < COUNT:
            raise MessagesLost

    with opened(side, send_then_close) as websocket:
        return observe(websocket, receive_all)


SCENARIOS = (Scenario("sync.unread_dropped", "recv(), the peer has closed", recv, MessagesLost),)
