"""Runs coroutines that end a connection, in an event loop of their own, and frees what hangs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import threading
import time
from collections.abc import Awaitable, Coroutine
from typing import Any, Callable

from .. import waiting
from ..scenario import Hangs, Outcome, worst
from ..waiting import PATIENCE, POLL_INTERVAL

new_event_loop = asyncio.new_event_loop
"""What creates event loops; a test may have uvloop do it."""


class LeftBehind(Exception):
    """What ``Outcome`` holds where a task was left over."""


def in_event_loop(
    end_connection: Callable[[str], Coroutine[Any, Any, BaseException | None]],
) -> Callable[[str], Outcome]:
    """
    Have a coroutine function end connections for programs without an event loop.

    It runs in a thread, because its caller may have an event loop all the same. What the event
    loop's exception handler is told, and tasks that are left behind, go by ``Outcome.reader``.

    """

    @functools.wraps(end_connection)
    def end(side: str) -> Outcome:
        outcomes: list[Outcome | BaseException] = []

        def run() -> None:
            try:
                outcomes.append(run_to_the_end(end_connection(side)))
            except BaseException as exc:
                outcomes.append(exc)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(waiting.HANG + 4 * PATIENCE)
        outcome = outcomes[0] if outcomes else TimeoutError("the event loop hangs")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    del end.__wrapped__  # it isn't a coroutine function any more
    return end


def run_to_the_end(main: Coroutine[Any, Any, BaseException | None]) -> Outcome:
    """Run a coroutine, and collect what goes wrong behind its back."""
    loop = new_event_loop()
    behind: list[BaseException] = []

    def collect(_: object, context: dict[str, Any]) -> None:
        behind.append(context.get("exception") or RuntimeError(context["message"]))

    loop.set_exception_handler(collect)
    try:
        caller = loop.run_until_complete(main)
        loop.run_until_complete(finish(loop, behind))
    finally:
        loop.close()
    return Outcome(caller, next(iter(behind), None))


async def finish(loop: asyncio.AbstractEventLoop, behind: list[BaseException]) -> None:
    """Wait for what is about to end, and cancel what isn't."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=0.2)
        behind += [LeftBehind(repr(task)) for task in pending]
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=PATIENCE)
    gc.collect()  # an exception that nobody retrieved is reported when it is collected
    await asyncio.sleep(0)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


async def observe(websocket: Any, *acts: Awaitable[object]) -> BaseException | None:
    """
    Run each of ``acts`` in a task, and free what hangs.

    Returns:
        The worst of what they raised.

    """
    tasks = [asyncio.ensure_future(act) for act in acts]
    _, pending = await asyncio.wait(tasks, timeout=waiting.HANG)
    if pending:
        await free(websocket, *pending)
    raised = [Hangs() if task in pending else raised_by(task) for task in tasks]
    return worst(raised)


def raised_by(task: asyncio.Future[object]) -> BaseException | None:
    """Return what ended a task, being cancelled among it."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def free(websocket: Any, *tasks: asyncio.Future[object]) -> None:
    """Abort a connection, and cancel tasks that wait for something else."""
    websocket.transport.abort()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(websocket.connection_lost_waiter), PATIENCE)
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=0.2)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=PATIENCE)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()


async def wait_until(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    """
    Wait for what no event tells.

    Raises:
        TimeoutError: If it isn't so within ``timeout`` seconds.

    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it isn't so after {timeout} s")
        await asyncio.sleep(POLL_INTERVAL)
