"""What may hang, done in threads of its own: bounded, reported, and freed."""

from __future__ import annotations

import contextlib
import threading
import time

from websockets_closefix._repro.peers import shut_down_and_close

PATIENCE = 10
"""Seconds after which something hangs; no cell takes a tenth of them."""


class Act(threading.Thread):
    """Does something that may hang, and keeps what came out of it, and when."""

    def __init__(self, act):
        super().__init__(daemon=True)
        self.act = act
        self.exc = None
        self.ended_at = None

    @classmethod
    def started(cls, act):
        self = cls(act)
        self.start()
        return self

    def run(self):
        try:
            self.act()
        except Exception as exc:
            self.exc = exc
        finally:
            self.ended_at = time.monotonic()

    def hangs(self):
        self.join(PATIENCE)
        return self.is_alive()


def free(connection, acts):
    """Release whoever hangs in a connection, by hand."""
    shut_down_and_close(connection.socket)
    messages = connection.recv_messages
    messages.close()  # wakes a reader thread that waits for a message to be fetched, up to 13.1
    if getattr(messages, "paused", False):  # 14.0 and 14.1 leave it paused
        messages.paused = False
        messages.resume()
    for thread in [*acts, connection.recv_events_thread]:
        thread.join(PATIENCE)


def wait_until(reached):
    """Wait for a state that nothing announces."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{reached} didn't come true in {PATIENCE} s")
        time.sleep(0.0005)


@contextlib.contextmanager
def closing(connection):
    """Close a connection at the end, even one that can't be closed."""
    try:
        yield connection
    finally:
        act = Act.started(connection.close)
        if act.hangs():
            free(connection, [act])
