"""
Times an operation as often as it is told to on stdin, and prints the median.

Run it as ``python -m tests.benchmarks.worker {echo,connect,close_socket} {unpatched,patched}``.

"""

from __future__ import annotations

import socket
import statistics
import sys
import time

from websockets.client import ClientProtocol
from websockets.protocol import OPEN
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

import websockets_closefix
from websockets_closefix._repro.sync.ends import open_connection

from ..peers import server


def main(operation, what):
    websockets_closefix.apply() if what == "patched" else websockets_closefix.unapply()
    with server(echo) as uri, open_connection(uri) as websocket:
        subject = websocket if operation == "echo" else uri
        for line in sys.stdin:
            times = [OPERATIONS[operation](subject) for _ in range(int(line))]
            print(statistics.median(times), flush=True)


def echo(websocket):
    for message in websocket:
        websocket.send(message)


def time_echo(websocket):
    started = time.perf_counter()
    websocket.send("hello")
    websocket.recv()
    return time.perf_counter() - started


def time_connect(uri):
    started = time.perf_counter()
    with connect(uri) as websocket:
        websocket.send("hello")
        websocket.recv()
    return time.perf_counter() - started


def time_close_socket(uri):
    ours, theirs = socket.socketpair()
    with theirs:
        websocket = ClientConnection(ours, ClientProtocol(parse_uri(uri), state=OPEN))
        started = time.perf_counter()
        websocket.close_socket()
        elapsed = time.perf_counter() - started
        websocket.recv_events_thread.join()
    return elapsed


OPERATIONS = {"echo": time_echo, "connect": time_connect, "close_socket": time_close_socket}


if __name__ == "__main__":
    main(*sys.argv[1:])
