"""
Which builds of websockets have the flaw: version and code must agree.

Affected are the releases from 13.1 up to, not including, 14.2 (upstream issue 1558) in which
``close_socket`` calls ``protocol.receive_eof`` without taking ``protocol_mutex``. Where only one
of the two says so (a distribution's backport, a development build, a fork, somebody else's patch)
nobody has tested the shim, and it keeps its hands off.

"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, Literal, NamedTuple

FIRST_AFFECTED = (13, 1)
FIRST_FIXED = (14, 2)
FIRST_WITH_SYNC = (11, 0)


class Verdict(NamedTuple):
    """What the gate found, and a sentence that names what to do next."""

    name: Literal["affected", "not-affected", "unrecognised"]
    detail: str


def examine(connection_module: ModuleType) -> Verdict:
    """
    Judge a build of websockets by its version and by its code.

    Args:
        connection_module: ``websockets.sync.connection``, fully imported.

    Returns:
        Whether this build has the flaw, doesn't have it, or cannot be told.

    """
    version = websockets_version()
    connection = getattr(connection_module, "Connection", None)
    outermost = getattr(connection, "__dict__", {}).get("close_socket")
    names = [code_names(layer) for layer in layers(outermost) if not is_ours(layer)]
    calls_receive_eof = any("receive_eof" in layer for layer in names)
    takes_mutex = any("protocol_mutex" in layer for layer in names)

    if release(version) is None:
        return Verdict(
            "unrecognised",
            f"websockets has a version that websockets-closefix can't read ({version!r}): left "
            "alone; install websockets 14.2 or later, which is fixed",
        )
    if is_affected_release(version):
        if takes_mutex:
            return Verdict(
                "unrecognised",
                f"websockets calls itself {version}, but {describe(outermost)} already takes "
                "protocol_mutex: left alone; if that is a backport of the fix, uninstall "
                "websockets-closefix",
            )
        if not calls_receive_eof:
            return Verdict(
                "unrecognised",
                f"websockets calls itself {version}, but {describe(outermost)} isn't the "
                "close_socket of that release: left alone; if another patch replaced it, import "
                "websockets_closefix before that patch",
            )
        return Verdict(
            "affected",
            f"websockets {version} has the close race: upgrade to 14.2 or later when you can",
        )
    if calls_receive_eof and not takes_mutex:
        return Verdict(
            "unrecognised",
            f"websockets calls itself {version}, but its close_socket has the flaw of 13.1 to "
            "14.1: left alone; install websockets 14.2 or later from the package index",
        )
    return Verdict(
        "not-affected",
        f"websockets {version} doesn't have the close race: websockets-closefix can be removed",
    )


def websockets_version() -> str | None:
    """Return what the imported websockets calls itself; package metadata may belong to another."""
    return getattr(sys.modules.get("websockets.version"), "version", None)


def release(version: str | None) -> tuple[int, ...] | None:
    """
    Return the release segment of a version, as :pep:`440` names it.

    ``14.2.dev3+g1234567`` is on its way to 14.2 and counts as 14.2, not as a release before it.

    """
    match = re.match(r"\d+(\.\d+)*", version or "")
    return tuple(int(number) for number in match[0].split(".")) if match else None


def is_affected_release(version: str | None) -> bool:
    """Tell whether the flaw belongs to the release that ``version`` names."""
    return FIRST_AFFECTED <= (release(version) or ()) < FIRST_FIXED


def predates_sync(version: str | None) -> bool:
    """Tell whether ``version`` names a release without ``websockets.sync``."""
    return () < (release(version) or ()) < FIRST_WITH_SYNC


def is_ours(layer: Any) -> bool:
    """Tell whether a layer of ``close_socket`` is this package's wrapper, bound or not."""
    wrapper = getattr(layer, "_self_wrapper", None)
    return getattr(wrapper, "__module__", None) == f"{__package__}._close_socket"


def layers(function: Any) -> Iterator[Any]:
    """
    Yield ``close_socket`` and what it wraps, outermost first, as far as can be seen.

    A wrapper made by wrapt or :func:`functools.wraps` says in ``__wrapped__`` what it calls; of a
    plain function that replaced the method, the ``close_socket`` among the variables it reads.

    """
    seen: list[Any] = []
    pending = [function]
    while pending:
        layer = pending.pop()
        if layer is None or any(layer is other for other in seen):
            continue
        seen.append(layer)
        yield layer
        if hasattr(layer, "__wrapped__"):
            pending.append(layer.__wrapped__)
        elif isinstance(layer, FunctionType):
            pending += [
                value
                for value in variables_of(layer)
                if getattr(value, "__name__", None) == "close_socket"
            ]


def variables_of(function: FunctionType) -> list[Any]:
    """
    Return the values of the variables, not its own, that a function reads.

    :func:`inspect.getclosurevars` would do; but importing inspect costs a tenth of what importing
    ``websockets.sync.client`` does, also on releases that have nothing to repair.

    """
    values = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # the variable isn't set yet
            values.append(cell.cell_contents)
    names = function.__code__.co_names
    values += [function.__globals__[name] for name in names if name in function.__globals__]
    return values


def code_names(layer: Any) -> set[str]:
    """Return the names that a layer's own code uses, those of functions nested in it included."""
    # A proxy of wrapt's passes off the code of what it wraps as its own.
    function = getattr(layer, "_self_wrapper", layer)
    pending = [getattr(function, "__code__", None)]
    names: set[str] = set()
    while pending:
        code = pending.pop()
        if isinstance(code, CodeType):
            names.update(code.co_names)
            pending += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return names


def describe(layer: Any) -> str:
    """Name the code that is in the place of ``close_socket``."""
    function = getattr(layer, "_self_wrapper", layer)
    if function is None:
        return "a Connection without close_socket"
    module, name = (getattr(function, a, "?") for a in ("__module__", "__qualname__"))
    return f"{module}.{name}"
