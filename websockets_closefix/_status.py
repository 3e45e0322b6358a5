"""Where the process stands: derived from what is there each time it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Literal, NamedTuple

from . import CONNECTION_MODULE, _gate, _import_hook, _wrap

State = Literal["armed", "applied", "not-affected", "unrecognised", "disabled"]


class FlawStatus(NamedTuple):
    """
    What is known of one flaw.

    Attributes:
        issue: Upstream's issue; :obj:`None` for the one that has none.
        symptom: What an application meets without the repair.
        state: ``applied`` if it is repaired, ``unrecognised`` or ``disabled`` if it isn't.

    """

    issue: int | None
    symptom: str
    state: State


class Status(NamedTuple):
    """
    What :func:`~websockets_closefix.status` returns.

    Attributes:
        state: ``armed``, ``applied``, ``not-affected``, ``unrecognised`` or ``disabled``: the
            worst of what holds for any flaw.
        websockets_version: What websockets calls itself; :obj:`None` while it isn't imported.
        detail: One sentence that says why, and what to do next.
        repaired: How many times a repair stepped in, in this process. What is prevented isn't
            counted.
        flaws: What is known of each flaw of this build; none while ``websockets.sync`` isn't
            imported.

    """

    state: State
    websockets_version: str | None
    detail: str
    repaired: int
    flaws: tuple[FlawStatus, ...] = ()

    def __str__(self) -> str:
        return self.detail


def derive(*, enabled: bool, switched_off: bool) -> Status:
    """Look at the environment, at ``sys.modules`` and at the code of websockets."""
    version = _gate.websockets_version()
    module = _import_hook.loaded(CONNECTION_MODULE)
    # Without a Connection, another thread is half-way through importing it.
    is_imported = module is not None and hasattr(module, "Connection")
    verdicts = _gate.examine(module) if module is not None and is_imported else []
    flaws = [judge(verdict, module, enabled=enabled) for verdict in verdicts]
    if not enabled:
        state, detail = derive_disabled(switched_off=switched_off)
    elif is_imported:
        state, detail = derive_imported(version, verdicts, flaws)
    else:
        state, detail = derive_armed(version)
    return Status(state, version, detail, _wrap.repaired(), tuple(flaws))


def judge(verdict: _gate.Verdict, module: ModuleType | None, *, enabled: bool) -> FlawStatus:
    """Say what is done about a flaw."""
    state: State = "unrecognised"
    if verdict.name == "affected":
        if not enabled:
            state = "disabled"
        elif module is not None and _wrap.is_on(verdict.flaw, module):
            state = "applied"
    return FlawStatus(verdict.flaw.issue, verdict.flaw.symptom, state)


def derive_disabled(*, switched_off: bool) -> tuple[State, str]:
    """Return the state of a process that doesn't want to be repaired."""
    if switched_off:
        return "disabled", "switched off by WEBSOCKETS_CLOSEFIX: unset it to be repaired"
    return "disabled", "switched off by unapply(): call apply() to be repaired again"


def derive_imported(
    version: str | None, verdicts: Sequence[_gate.Verdict], flaws: Sequence[FlawStatus]
) -> tuple[State, str]:
    """Return the worst state of any flaw."""
    if not flaws:
        return (
            "not-affected",
            f"websockets {version} ends connections well: websockets-closefix can be removed",
        )
    repaired = [v.flaw.name for v, flaw in zip(verdicts, flaws) if flaw.state == "applied"]
    for verdict, flaw in zip(verdicts, flaws):
        if flaw.state != "applied":
            why = verdict.detail or (
                f"websockets {version} has {verdict.flaw.name}, and its wrapper is missing: call "
                "apply(strict=True), which puts it on or says why it can't"
            )
            rest = f" ({', '.join(repaired)}: repaired)" if repaired else ""
            return "unrecognised", why + rest
    return (
        "applied",
        f"websockets {version} has flaws in how connections end, and they are repaired "
        f"({', '.join(repaired)}): go to {_gate.CLEAN_RELEASES} when you can",
    )


def derive_armed(version: str | None) -> tuple[State, str]:
    """Return the state of a process that hasn't imported ``websockets.sync``."""
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
