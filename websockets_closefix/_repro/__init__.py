"""
Provokes the flaws in how connections end, on real connections to 127.0.0.1.

One module a flaw: it forces what leaves half of its connections alone otherwise, every time, by
holding a thread where another one must not be overtaken. What they share stands beside them: both
ends of a connection, what holds a thread, and what observes how it ends. Every hold and every wait
is bounded, and a thread that hangs is freed.

It knows nothing of the repairs, so that it can show what happens without them.

"""

from .ends import open_connection, opened, server
from .holding import (
    HOLD,
    HoldingListener,
    HoldingSocket,
    logger_that_holds_caller,
    logger_that_holds_reader,
    quiet_logger,
    tapped_logger,
)
from .observing import (
    PATIENCE,
    Hangs,
    Outcome,
    observe,
    reader_exceptions,
    thread_exceptions,
    wait_until,
)
from .ordinary import close, send_until_closed
from .peers import (
    Behaviour,
    hang_up,
    peer,
    reset,
    reset_on_close,
    serve_one_by_one,
    shake_hands,
    silent_client,
    stay_silent,
)
from .scenario import SIDES, Scenario
from .sync import (
    close_race,
    early_wakeup,
    paused_reader,
    pending_ping,
    reader_start,
    unread_message,
)
from .sync.close_race import close_held, reader_held, send_torn
from .sync.reader_start import reset_while_opening

__all__ = [
    "HOLD",
    "PATIENCE",
    "SIDES",
    "Behaviour",
    "Hangs",
    "HoldingListener",
    "HoldingSocket",
    "Outcome",
    "Scenario",
    "close",
    "close_held",
    "hang_up",
    "logger_that_holds_caller",
    "logger_that_holds_reader",
    "observe",
    "open_connection",
    "opened",
    "peer",
    "quiet_logger",
    "reader_exceptions",
    "reader_held",
    "reset",
    "reset_on_close",
    "reset_while_opening",
    "scenarios_of",
    "send_torn",
    "send_until_closed",
    "serve_one_by_one",
    "server",
    "shake_hands",
    "silent_client",
    "stay_silent",
    "tapped_logger",
    "thread_exceptions",
    "wait_until",
]


def scenarios_of(implementation: str) -> tuple[Scenario, ...]:
    """
    Return what reproduces the bugs of an implementation, one module a bug.

    Args:
        implementation: Name of a package, as of :func:`websockets_closefix._fixes.fixes_of`.

    """
    if implementation == "websockets.sync":
        return (
            *unread_message.SCENARIOS,
            *reader_start.SCENARIOS,
            *early_wakeup.SCENARIOS,
            *paused_reader.SCENARIOS,
            *close_race.SCENARIOS,
            *pending_ping.SCENARIOS,
        )
    if implementation == "websockets.asyncio":
        from .asyncio import SCENARIOS as asyncio_scenarios

        return asyncio_scenarios
    if implementation == "websockets.legacy":
        from .legacy import SCENARIOS as legacy_scenarios

        return legacy_scenarios
    return ()
