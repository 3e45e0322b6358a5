"""
Cures how connections of ``websockets.sync`` end, on websockets 11.0 to 15.0.1.

Importing this package is enough; :func:`apply`, :func:`unapply` and :func:`status` are for
those who want to steer it or to look. Which flaws there are, and in which releases:
``websockets_closefix/_flaws/__init__.py``.

Every process of a machine that arms the shim from ``sitecustomize`` pays for what is imported
here, so at module level that is the import hook alone; the rest waits until it is needed.

"""

import _thread
import os
import sys

from . import _import_hook

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from types import ModuleType

    from ._status import FlawStatus, State, Status

__all__ = ["FlawStatus", "State", "Status", "UnrecognisedWebsockets", "apply", "status", "unapply"]

__version__ = "1.0.0"

CONNECTION_MODULE = "websockets.sync.connection"


class UnrecognisedWebsockets(RuntimeError):
    """Raised by ``apply(strict=True)`` if there is something that the shim leaves alone."""


def apply(*, strict: bool = False) -> "Status":
    """
    Repair websockets, now or as soon as ``websockets.sync`` is imported.

    Calling it again changes nothing; any thread may call it. It never imports websockets, and
    never raises: whatever goes wrong ends in a :exc:`RuntimeWarning`, unless ``strict`` is set.
    The environment variable ``WEBSOCKETS_CLOSEFIX``, set to ``0``, ``off``, ``false`` or ``no``,
    wins over it.

    Args:
        strict: Import ``websockets.sync.connection`` now, and raise where the shim would
            otherwise warn. It defaults to :obj:`False`.

    Returns:
        What :func:`status` returns afterwards.

    Raises:
        UnrecognisedWebsockets: If ``strict`` is set and a flaw isn't recognised in this build of
            websockets. The others are repaired all the same.
        ImportError: If ``strict`` is set and there is no ``websockets.sync`` to examine, or
            wrapt cannot be imported.

    """
    if _switched_off():
        return unapply()
    _arm(strict=strict)
    return status()


def unapply() -> "Status":
    """
    Take the shim off: the exact opposite of :func:`apply`, and as safe to call again.

    The original methods come back, the very objects, where nobody has wrapped them since;
    otherwise the shim is switched off in place and the other wrapper stays.

    Returns:
        What :func:`status` returns afterwards: its state is ``disabled``.

    """
    global _enabled
    with _lock:
        _enabled = False
        # A module that another thread is half-way through importing has no Connection: then there
        # is nothing to take off yet, and _wrap_methods() is going to see that it isn't wanted.
        module = _import_hook.loaded(CONNECTION_MODULE)
        wrap = sys.modules.get(f"{__name__}._wrap")
        take_off_all = getattr(wrap, "take_off_all", None)
        if hasattr(module, "Connection") and take_off_all is not None:
            take_off_all(module)
    return status()


def status() -> "Status":
    """
    Tell where this process stands.

    Returns:
        An immutable :class:`Status`: ``state``, ``websockets_version``, ``detail`` (a sentence
        that names what to do next; ``str(status)`` is that sentence), ``repaired`` (how many
        times a repair stepped in) and ``flaws`` (issue, symptom and state of each).

    """
    _catch_up()
    from ._status import derive

    return derive(enabled=_enabled, switched_off=_switched_off())


def __getattr__(name: str) -> object:
    # They need typing, which nobody should pay for at start-up.
    if name in ("FlawStatus", "State", "Status"):
        from . import _status

        return getattr(_status, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# What apply() and unapply() last said; wrappers consult it at each call, so that those which
# cannot be taken off any more (a class from before a reload, a foreign wrapper on top) obey too.
_enabled = False

# Serialises putting on, taking off and counting. Nothing is imported while it is held: an importing
# thread holds import locks when it gets here, so the order is always import locks first, then this.
_lock = _thread.RLock()  # re-entrant, since a signal handler may apply or unapply, too


def _renew_lock() -> None:
    """Forget who held the lock in the parent process, whose other threads aren't here."""
    global _lock
    _lock = _thread.RLock()


if hasattr(os, "register_at_fork"):  # pragma: no branch: Windows has no fork
    os.register_at_fork(after_in_child=_renew_lock)

_warned: "set[str]" = set()


def _switched_off() -> bool:
    switch = os.environ.get("WEBSOCKETS_CLOSEFIX", "")
    return switch.strip().lower() in ("0", "off", "false", "no")


def _arm(*, strict: bool = False) -> None:
    global _enabled
    try:
        with _lock:
            _enabled = True
            _import_hook.install(CONNECTION_MODULE, _repair)
        if strict:
            __import__(CONNECTION_MODULE)
    except Exception as exc:
        if strict:
            raise
        _warn(exc)
    module = _import_hook.loaded(CONNECTION_MODULE)
    if module is not None:
        _repair(module, strict=strict)


def _catch_up() -> None:
    """Repair what came into ``sys.modules`` past the import hook, before anybody looks at it."""
    finder = _import_hook.installed(CONNECTION_MODULE)
    module = _import_hook.loaded(CONNECTION_MODULE)
    if finder is None or module is None or module is finder.done:
        return
    if hasattr(module, "Connection"):
        finder.call_back(module)


def _repair(module: "ModuleType", *, strict: bool = False) -> None:
    """Repair each flaw that there is; an import statement must not fail for it."""
    if not _enabled:
        return
    try:
        if not hasattr(module, "Connection"):
            # Another thread is half-way through importing it, perhaps since before the hook was
            # there: an import statement waits until it has finished.
            __import__(CONNECTION_MODULE)
        from . import _gate

        failures = []
        verdicts = _gate.examine(module)
        if verdicts:
            from . import _wrap

            failures = _wrap.put_on_all(verdicts, module)
    except Exception as exc:
        failures = [exc]
    for failure in failures:
        if strict:
            raise failure
        _warn(failure)


def _warn(failure: Exception) -> None:
    if _comes_from_a_signal_handler(failure):
        raise failure  # a time limit, say, that struck here by chance
    message = str(failure)
    if not isinstance(failure, UnrecognisedWebsockets):
        message = (
            f"websockets-closefix couldn't be applied ({type(failure).__name__}: {message}): "
            "call websockets_closefix.apply(strict=True) for the traceback"
        )
    if message in _warned:
        return
    _warned.add(message)
    import warnings

    try:
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    except Exception:  # python -W error: said all the same, but nothing stops for it
        try:
            sys.stderr.write(f"{message}\n")
        except Exception:
            return  # it is closed, or there is none


def _comes_from_a_signal_handler(exc: Exception) -> bool:
    import _signal  # type: ignore[import-not-found]  # built in

    handlers = [_signal.getsignal(number) for number in range(1, _signal.NSIG)]
    codes = [handler.__code__ for handler in handlers if hasattr(handler, "__code__")]
    traceback = exc.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False


def _importers() -> "list[tuple[object, str]]":
    importers = []
    frame = sys._getframe(2)
    while frame is not None:
        importers.append((frame.f_globals.get("__name__"), frame.f_code.co_filename))
        frame = frame.f_back  # type: ignore[assignment]
    return importers


# Name and file of each module that this import is part of, innermost first: by them the status
# command tells a .pth file, sitecustomize and the like apart.
_imported_by = _importers()

if not _switched_off():
    _arm()
