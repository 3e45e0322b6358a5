"""The cells of the matrix: a fault, what the connection is used for, and what goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from typing import NamedTuple

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from websockets_closefix._repro.asyncio._peers import close_frame
from websockets_closefix._repro.peers import messages, reset_on_close

UNREAD = 400
"""Messages that nobody reads: more than any release queues."""


class Cell(NamedTuple):
    """One way to end a connection."""

    fault: str
    side: str
    activity: str
    meanwhile: str = "-"

    def __str__(self) -> str:
        return " | ".join(self)

    @property
    def options(self) -> dict:
        """Return arguments of ``connect()`` and ``serve()``."""
        options = {"close_timeout": CLOSE_TIMEOUT}
        for name in reversed(self):
            options.update(OPTIONS.get(name, {}))
        return options


# What a peer does, in a thread, when it is told to strike.


def reset(sock, side, over):
    reset_on_close(sock)


def end_without_close_frame(sock, side, over):
    sock.shutdown(1)
    over.wait(10)


def stay_silent(sock, side, over):
    sock.settimeout(0.01)
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            if not sock.recv(65536):
                over.wait(10)


def stop_reading(sock, side, over):
    over.wait(10)


def close_and_leave_open(sock, side, over):
    sock.sendall(close_frame(side))
    stay_silent(sock, side, over)


def close_then_end(sock, side, over):
    sock.sendall(close_frame(side))
    sock.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while sock.recv(65536):
            pass


def send_an_invalid_frame(sock, side, over):
    sock.sendall(Frame(Opcode.TEXT, b"\xff").serialize(mask=side == "client"))  # the wrong side
    stay_silent(sock, side, over)


def answer(sock, side, over):
    """Answer pings and a close frame, then end TCP, as a peer does that is well."""
    protocol = PEERS[side]()
    while received := sock.recv(65536):
        protocol.receive_data(received)
        protocol.events_received()
        for data in protocol.data_to_send():
            sock.sendall(data) if data else sock.shutdown(socket.SHUT_WR)


PEERS = {
    "client": lambda: ServerProtocol(state=OPEN),
    "server": lambda: ClientProtocol(parse_uri("ws://127.0.0.1"), state=OPEN),
}

FAULTS = {
    "none: the peer answers": answer,
    "RST": reset,
    "FIN without a close frame": end_without_close_frame,
    "close frame never answered": stay_silent,
    "peer stops reading": stop_reading,
    "close frame, TCP stays open": close_and_leave_open,
    "close frame, then FIN": close_then_end,
    "invalid frame, TCP stays open": send_an_invalid_frame,
}


# What the connection is used for.


async def again_and_again(act):
    while True:
        await act()
        await asyncio.sleep(0)


async def receive(websocket):
    while True:
        await websocket.recv()


ACTIVITIES = {
    "idle": lambda websocket: websocket.wait_closed(),
    "receiving": receive,
    "sending": lambda websocket: again_and_again(lambda: websocket.send(bytes(1000))),
    "sending much": lambda websocket: again_and_again(lambda: websocket.send(bytes(2**18))),
    "closing": lambda websocket: websocket.close(),
    "pinging": lambda websocket: again_and_again(websocket.ping),
}


# What goes on meanwhile.


async def close_soon(websocket):
    await asyncio.sleep(0.05)
    await websocket.close()


async def wait_for_pong(websocket):
    pong_waiter = await websocket.ping()
    await pong_waiter


# How a server is closed, whose handlers end with their connections.


async def close_server(server):
    server.close()
    await server.wait_closed()


async def close_server_twice(server):
    server.close()
    await close_server(server)


async def cancel_serve_forever(server):
    serving = asyncio.ensure_future(server.serve_forever())
    await asyncio.sleep(0)  # now it is serving
    serving.cancel()
    await asyncio.wait([serving])
    await server.wait_closed()


SERVER_ENDS = {
    "the server is closed": close_server,
    "the server is closed twice": close_server_twice,
    "serve_forever() is cancelled": cancel_serve_forever,
}

MEANWHILE = {
    "-": None,
    "a receiver waits": receive,
    "a ping is pending": wait_for_pong,
    "another task closes": close_soon,
    "messages are unread": None,
    "keepalive is on": None,
}
CLOSE_TIMEOUT = 0.2
A_LONG_TIME = 60
OPTIONS = {
    "keepalive is on": {"ping_interval": 0.1, "ping_timeout": 0.1},
    # Nothing is to be waited for.
    "none: the peer answers": {"close_timeout": A_LONG_TIME, "ping_timeout": A_LONG_TIME},
    # Keepalive mustn't be first.
    "close frame, TCP stays open": {"ping_timeout": A_LONG_TIME},
    "close frame, then FIN": {"ping_timeout": A_LONG_TIME},
    "invalid frame, TCP stays open": {"ping_timeout": A_LONG_TIME},
}
BEFORE = {"messages are unread": lambda side: messages(UNREAD, mask=side == "server")}

# What is seen of the peer's close frame, and what those raise who meet the end.
NOTHING_RECEIVED = {"received": {None}, "raises": {"ConnectionClosedError"}}
RECEIVED = {"received": {1000}, "raises": {"ConnectionClosedOK"}}
GOING_AWAY = {"received": {1001}, "sent": {1001}, "raises": {"ConnectionClosedOK"}}
ANSWERED = {"received": {1000}, "sent": {1000}, "raises": {"ConnectionClosedOK"}}
FAILED = {"received": {None}, "sent": {1002}, "raises": {"ConnectionClosedError"}}
DOCUMENTED = {
    "none: the peer answers": ANSWERED,
    "RST": NOTHING_RECEIVED,
    "FIN without a close frame": NOTHING_RECEIVED,
    "close frame never answered": NOTHING_RECEIVED,
    "peer stops reading": NOTHING_RECEIVED,
    "close frame, TCP stays open": RECEIVED,
    "close frame, then FIN": RECEIVED,
    "invalid frame, TCP stays open": FAILED,
}
"""What the documentation of websockets says of each fault, the reference of every release."""

# A peer that strikes is met in whatever a task does; the others only by closing, or keepalive.
STRIKES = [
    "RST",
    "FIN without a close frame",
    "close frame, TCP stays open",
    "close frame, then FIN",
    "invalid frame, TCP stays open",
]
SILENT = ["close frame never answered", "peer stops reading"]
WELL = ["none: the peer answers"]


def documented(cell):
    """Return what may be seen of a connection, and be raised by each of its tasks."""
    expected = dict(DOCUMENTED[cell.fault])
    if cell.meanwhile in SERVER_ENDS and cell.fault in WELL:
        expected = dict(GOING_AWAY)
    expected["raises"] = expected["meanwhile raises"] = expected["raises"] | {"NoneType"}
    closes_first = cell.activity == "closing" or cell.meanwhile == "another task closes"
    if cell.fault.startswith("invalid frame") and closes_first:
        expected["sent"] = {1000, 1002}
    return expected


def cells():
    """Yield the cells that end."""
    for fault, activity, side in itertools.product(FAULTS, ACTIVITIES, ("client", "server")):
        for meanwhile in MEANWHILE:
            if does_end(fault, activity, meanwhile):
                yield Cell(fault, side, activity, meanwhile)
    for fault, activity, end in itertools.product(
        [*WELL, *SILENT], ["idle", "receiving", "sending much"], SERVER_ENDS
    ):
        yield Cell(fault, "server", activity, end)


def does_end(fault, activity, meanwhile):
    """Tell whether a connection ends by itself, and not only when its messages are read."""
    if meanwhile == "a receiver waits" and activity == "receiving":
        return False  # there can't be two
    if activity == "closing" or meanwhile == "another task closes":
        return True
    if meanwhile == "messages are unread" and activity != "receiving":
        return fault == "RST" and activity.startswith("sending")
    if fault in SILENT:
        return meanwhile == "keepalive is on"
    return fault in STRIKES
