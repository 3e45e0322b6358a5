"""Where the process stands: derived from what is there each time it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from . import _detect, _import_hook, _patch, _state
from ._fixes import fixes_of

State = Literal["armed", "applied", "not-affected", "unrecognised", "disabled"]


class BugStatus(NamedTuple):
    """
    What is known of one bug.

    Attributes:
        name: What to put into ``WEBSOCKETS_CLOSEFIX_SKIP`` to leave its fix off.
        issue: Upstream's issue; :obj:`None` where there is none.
        symptom: What an application meets without the fix.
        state: ``applied`` if it is fixed; ``unrecognised``, ``skipped`` (by
            ``WEBSOCKETS_CLOSEFIX_SKIP``) or ``disabled`` if it isn't.

    """

    name: str
    issue: int | None
    symptom: str
    state: Literal["applied", "unrecognised", "skipped", "disabled"]


class Status(NamedTuple):
    """
    What :func:`~websockets_closefix.status` returns.

    Attributes:
        state: ``armed``, ``applied``, ``not-affected``, ``unrecognised`` or ``disabled``.
        websockets_version: What websockets calls itself; :obj:`None` while it isn't imported.
        detail: One sentence that says why, and what to do next.
        repaired: How many times a repair stepped in, in this process. What is prevented isn't
            counted.
        bugs: What is known of each bug of the implementations that are imported.

    """

    state: State
    websockets_version: str | None
    detail: str
    repaired: int
    bugs: tuple[BugStatus, ...] = ()

    def __str__(self) -> str:
        return self.detail


def derive() -> Status:
    """Look at the environment, at ``sys.modules`` and at the code of websockets; never raises."""
    try:
        return look()
    except Exception as exc:
        detail = (
            f"whether bugs are fixed can't be told ({type(exc).__name__}: {exc}), since something "
            "has replaced what websockets consists of: import websockets_closefix before that"
        )
        return Status("unrecognised", None, detail, _state.repaired)


def look() -> Status:
    """Look at the environment, at ``sys.modules`` and at the code of websockets."""
    version = _detect.websockets_version()
    modules = [
        module
        for module in _import_hook.loaded(_state.MODULES)
        if not _import_hook.is_being_executed(module)
    ]
    packages = dict.fromkeys(_detect.package_of(module) for module in modules)
    order = [fix for package in packages for fix in fixes_of(package)]
    found = [
        (judge(verdict, _patch.is_on(verdict.fix, module)), verdict)
        for module in modules
        for verdict in _detect.examine(module)
    ]
    found += [
        (judge(verdict, False), verdict)
        for package in packages
        for verdict in _detect.examine_missing(package)
    ]
    found.sort(key=lambda each: order.index(each[1].fix))
    bugs = tuple(bug for bug, _ in found)
    if not _state.wanted:
        state, detail = derive_disabled()
    elif modules:
        of = f"websockets {version}, in {' and '.join(packages)},"
        state, detail = derive_imported(of, bugs, [each.detail for _, each in found])
    else:
        state, detail = derive_armed()
    return Status(state, version, detail, _state.repaired, bugs)


def judge(verdict: _detect.Verdict, is_on: bool) -> BugStatus:
    """Say what is done about a bug."""
    fix = verdict.fix
    about = (fix.name, fix.issue, fix.symptom)
    if not _state.wanted:
        return BugStatus(*about, "disabled")
    if _patch.is_skipped(fix) and not is_on:
        return BugStatus(*about, "skipped")
    if verdict.name == "affected" and is_on:
        return BugStatus(*about, "applied")
    return BugStatus(*about, "unrecognised")


def derive_disabled() -> tuple[State, str]:
    """Return the state of a process in which the shim isn't wanted."""
    if _state.switched_off():
        return "disabled", "switched off by WEBSOCKETS_CLOSEFIX: unset it to have bugs fixed"
    return "disabled", "switched off by unapply(): call apply() to switch it on again"


def derive_armed() -> tuple[State, str]:
    """Return the state of a process that has imported none of the implementations."""
    if not _import_hook.is_installed():
        return (
            "unrecognised",
            "the import hook isn't on sys.meta_path any more, so that nothing will be fixed: "
            "call apply(), which puts it back",
        )
    return (
        "armed",
        f"no module of {', '.join(_state.PACKAGES)} is imported yet: each is examined, and fixed "
        "if need be, when it is",
    )


def derive_imported(
    of: str, bugs: Sequence[BugStatus], details: Sequence[str]
) -> tuple[State, str]:
    """Return the state of the implementations that are imported."""
    fixed, skipped = names(bugs, "applied"), names(bugs, "skipped")
    for bug, detail in zip(bugs, details):
        if bug.state == "unrecognised":
            rest = f" (fixed: {fixed})" if fixed else ""
            return "unrecognised", (detail or why_missing(bug)) + rest
    if not bugs:
        return "not-affected", f"{of} has none of the bugs that are fixed here"
    if not fixed:
        return "disabled", f"WEBSOCKETS_CLOSEFIX_SKIP leaves off all that {of} needs: {skipped}"
    but = f"; WEBSOCKETS_CLOSEFIX_SKIP leaves off {skipped}" if skipped else ""
    return "applied", f"{of} has bugs in how connections end, which are fixed: {fixed}{but}"


def names(bugs: Sequence[BugStatus], state: str) -> str:
    """List the names of the bugs in a state."""
    return ", ".join(bug.name for bug in bugs if bug.state == state)


def why_missing(bug: BugStatus) -> str:
    """Say why the wrapper of a bug that is recognised isn't on."""
    try:
        from wrapt import FunctionWrapper, wrap_object  # noqa: F401
    except Exception as exc:  # whatever a wrapt that is broken raises
        return f"wrapt, which every fix needs, can't be imported ({exc}): install wrapt"
    return (
        f"the wrapper of {bug.name} is missing, since something has replaced the method after it "
        "was put on: call apply(strict=True), which puts it on again or says why it can't"
    )
