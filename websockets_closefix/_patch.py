"""Puts wrappers on and takes them off, whichever fix they belong to."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Callable

from . import _detect, _import_hook, _state
from ._fixes import Fix, fixes_of


def put_on(module: ModuleType) -> list[Exception]:
    """
    Wrap whatever a module of websockets needs, once; the opposite of :func:`take_off`.

    Args:
        module: One of websockets' own, fully imported.

    Returns:
        What kept us from fixing a bug; the others are fixed all the same.

    """
    warn_of_unknown_names(module)
    verdicts = _detect.examine(module) + _detect.examine_missing(_detect.package_of(module))
    problems: list[Exception] = [
        _detect.UnrecognisedWebsockets(detail)
        for fix, verdict, detail in verdicts
        if verdict == "unrecognised" and not is_skipped(fix)
    ]
    fixes = [fix for fix, verdict, _ in verdicts if verdict == "affected"]
    missing = [fix for fix in fixes if not is_skipped(fix) and not is_on(fix, module)]
    if missing:
        try:
            import wrapt  # brings asyncio and more, which nobody pays for without need
        except ImportError as exc:
            return [*problems, exc]
        with _state.lock:
            if _state.wanted:  # unapply() may have come in between
                for fix in missing:
                    try:
                        wrap(fix, module, wrapt)
                    except Exception as exc:  # a class that somebody has put there may refuse
                        problems.append(exc)
    return problems


def import_all() -> None:
    """Import all modules that fixes name, of the implementations that there are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # websockets.legacy is deprecated
        for package in _state.PACKAGES:
            # An older release has no websockets.asyncio; without websockets.sync this raises.
            if package == "websockets.sync" or _detect.exists(package):
                importlib.import_module(package)
                for module in dict.fromkeys(fix.module for fix in fixes_of(package)):
                    if _detect.exists(module):
                        importlib.import_module(module)


def wrap(fix: Fix, module: ModuleType, wrapt: Any) -> None:
    """Wrap the methods that a fix needs, unless they are wrapped already."""
    for owner, name, wrapper in targets(fix, module):
        if not is_wrapped(fix, owner, name):
            wrapt.wrap_object(owner, name, wrapt.FunctionWrapper, (while_wanted(wrapper, fix),))


def take_off() -> None:
    """Put the original function objects back, except below something else's wrapper."""
    modules = list(_import_hook.loaded(_state.MODULES))
    fixes = [fixes_of(_detect.package_of(module)) for module in modules]  # which imports them
    with _state.lock:
        _state.wanted = False
        for module, fixes_of_module in zip(modules, fixes):
            for fix in fixes_of_module:
                for owner, name, _ in targets(fix, module):
                    while _detect.name_of_fix(vars(owner)[name]):
                        setattr(owner, name, vars(owner)[name].__wrapped__)


def while_wanted(wrapper: Callable[..., Any], fix: Fix) -> Callable[..., Any]:
    """
    Have a wrapper called while the shim is wanted, whichever way the method was looked up.

    wrapt doesn't know the instance where somebody kept ``vars(Connection)["close_socket"]`` and
    calls that with it, as one may call any function.

    """

    @functools.wraps(wrapper)
    def call(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not _state.wanted:
            return wrapped(*args, **kwargs)
        if instance is None:
            instance, *args = args  # type: ignore[assignment]
            wrapped = functools.partial(wrapped, instance)
        return wrapper(wrapped, instance, args, kwargs)

    call.fix_name = fix.name  # type: ignore[attr-defined]
    return call


def is_on(fix: Fix, module: ModuleType) -> bool:
    """Tell whether every method that a fix needs is wrapped."""
    wrapped = [is_wrapped(fix, owner, name) for owner, name, _ in targets(fix, module)]
    return bool(wrapped) and all(wrapped)


def is_wrapped(fix: Fix, owner: type, name: str) -> bool:
    """Tell whether a fix's wrapper is among a method's layers."""
    return fix.name in map(_detect.name_of_fix, _detect.layers(owner, name))


def is_skipped(fix: Fix) -> bool:
    """Tell whether ``WEBSOCKETS_CLOSEFIX_SKIP`` leaves a fix off."""
    return fix.name in _state.skipped()


def targets(fix: Fix, module: ModuleType) -> Iterator[tuple[type, str, Callable[..., Any]]]:
    """Yield class, name and wrapper of each method to wrap, of those that the module has."""
    if module.__name__ != fix.module:
        return
    for method, wrapper in fix.wrappers.items():
        found = _detect.definition(module, method)
        if found is not None:
            yield (*found, wrapper)


def warn_of_unknown_names(module: ModuleType) -> None:
    """Warn of names in ``WEBSOCKETS_CLOSEFIX_SKIP`` that are no fixes, as a typo is."""
    package = _detect.package_of(module)
    known = {fix.name for fix in fixes_of(package)}
    for name in sorted(_state.skipped() - known):
        # What belongs to another implementation is looked at when that is imported.
        if f"websockets.{name.partition('.')[0]}" not in {*_state.PACKAGES} - {package}:
            _state.warn_once(
                f"WEBSOCKETS_CLOSEFIX_SKIP names {name!r}, which is no fix: "
                "python -m websockets_closefix status lists their names"
            )
