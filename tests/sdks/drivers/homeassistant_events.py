"""homeassistant-api: the events of a house, which an exception of the program's cuts short."""

from contextlib import ExitStack

import forcing
from homeassistant_api import WebsocketClient

GREETING = [
    {"type": "auth_required", "ha_version": "2026.11"},
    {"type": "auth_ok", "ha_version": "2026.11"},
    {"type": "result", "id": 1, "success": True, "result": None},
]
SUBSCRIBED = {"type": "result", "id": 2, "success": True, "result": None}
EVENT = {
    "type": "event",
    "id": 2,
    "event": {
        "event_type": "tick",
        "data": {},
        "origin": "LOCAL",
        "time_fired": "2026-11-23T12:00:00+00:00",
        "context": {"id": "1", "parent_id": None, "user_id": None},
    },
}


def leave_with_events_unread():
    messages = [*GREETING, SUBSCRIBED, *[EVENT] * forcing.MANY]
    with forcing.peer(*messages) as uri, ExitStack() as stack:
        house = stack.enter_context(WebsocketClient(uri, "token"))
        next(house.listen_events("tick").__enter__())  # whose end an exception passes by
        return forcing.left_unread(stack.close)


def fire_event():
    with forcing.peer(*GREETING) as uri, WebsocketClient(uri, "token") as house:
        return forcing.overtaken_in_send(lambda: house.fire_event("tock"))


def leave():
    with forcing.peer(*GREETING) as uri, ExitStack() as stack:
        stack.enter_context(WebsocketClient(uri, "token"))
        return forcing.overtaken_in_close(stack.close)


forcing.report(leave_with_events_unread, fire_event, leave)
