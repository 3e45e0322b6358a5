"""Uses the whole public API as a typed program would; mypy and pyright read it, nobody runs it."""

from __future__ import annotations

from typing import Literal

from websockets.sync.client import ClientConnection, connect

import websockets_closefix
from websockets_closefix import BugStatus, State, Status, UnrecognisedWebsockets
from websockets_closefix.resilience import ConnectionPool, keepalive, reconnect


def arm() -> Status:
    try:
        return websockets_closefix.apply(strict=True)
    except UnrecognisedWebsockets as exc:
        error: RuntimeError = exc
        print(error)
    return websockets_closefix.unapply()


def look(status: Status) -> State:
    version: str | None = status.websockets_version
    detail: str = status.detail
    repaired: int = status.repaired
    state: Literal["armed", "applied", "not-affected", "unrecognised", "disabled"] = status.state
    bugs: tuple[BugStatus, ...] = status.bugs
    print(
        version, detail, repaired, str(status), [(bug.name, bug.issue, bug.state) for bug in bugs]
    )
    return state


def stay_connected(uri: str) -> None:
    for websocket in reconnect(uri, open_timeout=5, ping_interval=None):
        with keepalive(websocket, ping_interval=20, ping_timeout=20) as alive:
            latency: float = alive.latency
            print(latency)


def share(uri: str) -> None:
    with ConnectionPool(uri, max_size=4, timeout=30.0) as pool:
        with pool.connection() as websocket:
            connection: ClientConnection = websocket
            connection.send("hello")
        print(pool.get_stats())
    with connect(uri) as plain, keepalive(plain):
        pass


look(arm())
