"""A TCP relay that can swallow, delay or reset what goes through it."""

from __future__ import annotations

import contextlib
import socket
import threading

from .peers import reset_on_close, shut_down


class Relay:
    """Stands between a client and the server at ``uri``; use it as a context manager."""

    def __init__(self, uri):
        self.target = ("127.0.0.1", int(uri.rpartition(":")[2]))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"ws://127.0.0.1:{self.listener.getsockname()[1]}"
        self.swallowing, self.resetting = threading.Event(), threading.Event()
        self.hold_back = threading.Event()  # what is relayed waits until it is set
        self.hold_back.set()
        self.sockets, self.threads = [], []

    def __enter__(self):
        self.start(self.accept)
        return self

    def __exit__(self, *exc_info):
        self.hold_back.set()
        shut_down(self.listener)
        for sock in self.sockets:
            shut_down(sock)
        for thread in self.threads:
            thread.join(5)

    def reset(self):
        """Reset every connection, at both ends."""
        self.resetting.set()
        for sock in self.sockets:
            reset_on_close(sock)
            # Sends nothing to the peer, but wakes the pump; close() wouldn't, and a socket on which
            # a thread is blocked isn't closed before it wakes up.
            sock.shutdown(socket.SHUT_RD)
        for thread in self.threads[1:]:
            thread.join(5)
        for sock in self.sockets:
            sock.close()

    def start(self, target, *args):
        thread = threading.Thread(target=target, args=args)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
                self.sockets += [client, server]
                self.start(self.pump, client, server)
                self.start(self.pump, server, client)

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.hold_back.wait(10)
                if not self.swallowing.is_set():
                    sink.sendall(data)
        if not (self.swallowing.is_set() or self.resetting.is_set()):
            shut_down(sink)
