"""Where the process stands: derived from what is there each time it is asked for."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Literal, NamedTuple

from . import CONNECTION_MODULE, _gate, _import_hook

State = Literal["armed", "applied", "not-affected", "unrecognised", "disabled"]


class Status(NamedTuple):
    """
    What :func:`~websockets_closefix.status` returns.

    Attributes:
        state: ``armed``, ``applied``, ``not-affected``, ``unrecognised`` or ``disabled``.
        websockets_version: What websockets calls itself; :obj:`None` while it isn't imported.
        detail: One sentence that says why, and what to do next.
        repaired: How many closes the second layer had to repair in this process.

    """

    state: State
    websockets_version: str | None
    detail: str
    repaired: int

    def __str__(self) -> str:
        return self.detail


def derive(*, enabled: bool, switched_off: bool) -> Status:
    """Look at the environment, at ``sys.modules`` and at the code of ``close_socket``."""
    state, detail = derive_state(enabled=enabled, switched_off=switched_off)
    close_socket = sys.modules.get(f"{__package__}._close_socket")
    repaired = getattr(close_socket, "repaired", int)()
    return Status(state, _gate.websockets_version(), detail, repaired)


def derive_state(*, enabled: bool, switched_off: bool) -> tuple[State, str]:
    """Return the state and the sentence that explains it."""
    if not enabled:
        if switched_off:
            return "disabled", "switched off by WEBSOCKETS_CLOSEFIX: unset it to be repaired"
        return "disabled", "switched off by unapply(): call apply() to be repaired again"
    module = sys.modules.get(CONNECTION_MODULE)
    # Without a Connection, another thread is half-way through importing it.
    if module is not None and hasattr(module, "Connection"):
        return derive_repair(module)
    version = _gate.websockets_version()
    if _gate.predates_sync(version):
        return (
            "not-affected",
            f"websockets {version} has no websockets.sync: websockets-closefix can be removed",
        )
    if not _import_hook.is_installed(CONNECTION_MODULE):
        return (
            "unrecognised",
            "the import hook is missing from sys.meta_path, so that nothing will be repaired: "
            "call apply(strict=True), which puts it there or says why it can't",
        )
    return (
        "armed",
        f"{CONNECTION_MODULE} isn't imported yet: it will be examined, and repaired if need be, "
        "when it is",
    )


def derive_repair(connection_module: ModuleType) -> tuple[State, str]:
    """Return the state once there is a ``close_socket`` to look at."""
    verdict = _gate.examine(connection_module)
    if verdict.name != "affected":
        return verdict.name, verdict.detail
    outermost = vars(connection_module.Connection)["close_socket"]
    if not any(_gate.is_ours(layer) for layer in _gate.layers(outermost)):
        return (
            "unrecognised",
            f"{verdict.detail}; close_socket isn't wrapped: call apply(strict=True), which wraps "
            "it or says why it can't",
        )
    return "applied", f"{verdict.detail}; until then close_socket is repaired"
