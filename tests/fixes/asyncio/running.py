"""Runs a test's coroutine as a reproduction runs its own: bounded, and with nothing left over."""

from __future__ import annotations

import asyncio
import functools

from websockets_closefix._repro.asyncio._running import in_event_loop


def in_loop(test):
    """Run an asynchronous test, and assert that nothing went wrong behind its back."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        async def main(_):
            await test(*args, **kwargs)
            await asyncio.sleep(0)  # they are cancelled when the connection is lost
            assert timers() == []

        assert in_event_loop(main)("") == (None, None)

    return run


def timers():
    """Return the timers that are pending in the event loop, where it can be told."""
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return [timer for timer in scheduled if not timer.cancelled()]
