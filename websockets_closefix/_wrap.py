"""Puts wrappers on and takes them off, whatever the flaw, and counts what they repaired."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import websockets_closefix

from ._flaws import FLAWS, Flaw
from ._gate import Verdict
from ._layers import definition, is_ours, layers

if TYPE_CHECKING:
    # What freezes a program (PyInstaller) looks for import statements, and finds them here too.
    from ._flaws import (  # noqa: F401
        early_reader,
        issue_1336,
        issue_1449,
        issue_1555,
        issue_1558,
        issue_1662,
    )


def put_on_all(verdicts: Iterable[Verdict], connection_module: ModuleType) -> list[Exception]:
    """
    Wrap whatever a build of websockets needs; the opposite of :func:`take_off_all`.

    Args:
        verdicts: What :func:`~websockets_closefix._gate.examine` returned.
        connection_module: ``websockets.sync.connection``, fully imported.

    Returns:
        What kept us from repairing a flaw; the others are repaired all the same.

    """
    failures: list[Exception] = []
    for flaw, name, detail in verdicts:
        try:
            if name == "unrecognised":
                raise websockets_closefix.UnrecognisedWebsockets(detail)
            load_room(flaw)
            with websockets_closefix._lock:
                if websockets_closefix._enabled:  # unapply() may have come in between
                    put_on(flaw, connection_module)
        except Exception as exc:
            failures.append(exc)
    return failures


def take_off_all(connection_module: ModuleType) -> None:
    """Put the original function objects back, except below something else's wrapper."""
    for flaw in FLAWS:
        for owner, name in targets(flaw, connection_module):
            outermost = vars(owner)[name]
            if is_ours(outermost):
                setattr(owner, name, outermost.__wrapped__)


def load_room(flaw: Flaw) -> None:
    """Import what :func:`put_on` needs, which must not import: wrapt, and the flaw's wrappers."""
    import wrapt  # noqa: F401

    importlib.import_module(f"{__package__}._flaws.{flaw.room}")


def put_on(flaw: Flaw, connection_module: ModuleType) -> None:
    """Wrap the methods that a flaw's repair needs, unless they are wrapped already."""
    wrapt = sys.modules["wrapt"]
    room = sys.modules[f"{__package__}._flaws.{flaw.room}"]
    for owner, name in targets(flaw, connection_module):
        if not is_wrapped(owner, name):
            wrapper = with_instance(getattr(room, name))
            # Where is_enabled() says no, wrapt calls the original directly.
            wrapt.wrap_object(owner, name, wrapt.FunctionWrapper, (wrapper, is_enabled))


def is_enabled() -> bool:
    """Tell what apply() and unapply() last said; asked at each call."""
    return websockets_closefix._enabled


def with_instance(wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """
    Have a wrapper called with its instance whichever way the method was looked up.

    wrapt doesn't know the instance where somebody kept ``vars(Connection)["close_socket"]`` and
    calls that with it, as one may call any function.

    """

    @functools.wraps(wrapper)
    def call(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if instance is None:
            instance, *args = args  # type: ignore[assignment]
            wrapped = functools.partial(wrapped, instance)
        return wrapper(wrapped, instance, args, kwargs)

    return call


def is_on(flaw: Flaw, connection_module: ModuleType) -> bool:
    """Tell whether every method that a flaw's repair needs is wrapped."""
    return all(is_wrapped(owner, name) for owner, name in targets(flaw, connection_module))


def is_wrapped(owner: type, name: str) -> bool:
    """Tell whether a wrapper of ours is among a method's layers."""
    return any(map(is_ours, layers(owner, name)))


def targets(flaw: Flaw, connection_module: ModuleType) -> Iterator[tuple[type, str]]:
    """Yield the classes and the names of the methods to wrap, of those the release has."""
    for method in flaw.wrapped:
        found = definition(connection_module, method)
        if found is not None:
            yield found


def repaired() -> int:
    """Return how many times a repair stepped in, in this process."""
    return _repaired


def count_repair() -> None:
    """Add one to :func:`repaired`; any thread may call it."""
    global _repaired
    with websockets_closefix._lock:
        _repaired += 1


_repaired = 0
