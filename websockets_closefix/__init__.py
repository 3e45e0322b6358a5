"""
Cures the close race of websockets 13.1, 14.0 and 14.1 (upstream issue 1558).

Importing this package is enough; :func:`apply`, :func:`unapply` and :func:`status` are for
those who want to steer it or to look.

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

    from ._status import State, Status

__all__ = ["State", "Status", "UnrecognisedWebsockets", "apply", "status", "unapply"]

__version__ = "1.0.0"

CONNECTION_MODULE = "websockets.sync.connection"


class UnrecognisedWebsockets(RuntimeError):
    """Raised by ``apply(strict=True)`` for a build of websockets that the shim leaves alone."""


def apply(*, strict: bool = False) -> "Status":
    """
    Repair ``close_socket``, now or as soon as ``websockets.sync`` is imported.

    Calling it again changes nothing; any thread may call it. It never imports websockets, and
    never raises: whatever goes wrong ends in one :exc:`RuntimeWarning`, unless ``strict`` is
    set. The environment variable ``WEBSOCKETS_CLOSEFIX``, set to ``0``, ``off``, ``false`` or
    ``no``, wins over it.

    Args:
        strict: Import ``websockets.sync.connection`` now, and raise where the shim would
            otherwise warn. It defaults to :obj:`False`.

    Returns:
        What :func:`status` returns afterwards.

    Raises:
        UnrecognisedWebsockets: If ``strict`` is set and this build of websockets is unknown.
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

    The original ``close_socket`` comes back, the very object, where nobody has wrapped it since;
    otherwise the shim is switched off in place and the other wrapper stays.

    Returns:
        What :func:`status` returns afterwards: its state is ``disabled``.

    """
    global _enabled
    with _lock:
        _enabled = False
        # Either is missing from a module that another thread is half-way through importing; then
        # there is nothing to take off yet, and _wrap() is going to see that it isn't wanted.
        connection_class = getattr(sys.modules.get(CONNECTION_MODULE), "Connection", None)
        unwrap = getattr(sys.modules.get(f"{__name__}._close_socket"), "unwrap", None)
        if connection_class is not None and unwrap is not None:
            unwrap(connection_class)
    return status()


def status() -> "Status":
    """
    Tell where this process stands.

    Returns:
        An immutable :class:`Status`: ``state``, ``websockets_version``, ``detail`` (a sentence
        that names what to do next; ``str(status)`` is that sentence) and ``repaired`` (how many
        closes the second layer had to repair in this process).

    """
    from ._status import derive

    return derive(enabled=_enabled, switched_off=_switched_off())


def __getattr__(name: str) -> object:
    # Status and State need typing, which nobody should pay for at start-up.
    if name in ("State", "Status"):
        from . import _status

        return getattr(_status, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# What apply() and unapply() last said; wrappers consult it at each call, so that those which
# cannot be taken off any more (a class from before a reload, a foreign wrapper on top) obey too.
_enabled = False

# Serialises putting on and taking off. Nothing is imported while it is held: an importing thread
# holds import locks when it gets here, so the order is always import locks first, then this one.
_lock = _thread.allocate_lock()

_warned: "set[str]" = set()


def _switched_off() -> bool:
    switch = os.environ.get("WEBSOCKETS_CLOSEFIX", "")
    return switch.strip().lower() in ("0", "off", "false", "no")


def _is_enabled() -> bool:
    return _enabled


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
        _warn(_failure(exc))
    module = sys.modules.get(CONNECTION_MODULE)
    if module is not None:
        _repair(module, strict=strict)


def _repair(module: "ModuleType", *, strict: bool = False) -> None:
    """Wrap ``close_socket`` where it has the flaw; an import statement must not fail for it."""
    if not _enabled:
        return
    try:
        if not hasattr(module, "Connection"):
            # Another thread is half-way through importing it, perhaps since before the hook was
            # there: an import statement waits until it has finished.
            __import__(CONNECTION_MODULE)
        from . import _gate

        verdict = _gate.examine(module)
        if verdict.name == "affected":
            _wrap(module)
        elif verdict.name == "unrecognised":
            raise UnrecognisedWebsockets(verdict.detail)
    except Exception as exc:
        if strict:
            raise
        _warn(str(exc) if isinstance(exc, UnrecognisedWebsockets) else _failure(exc))


def _wrap(module: "ModuleType") -> None:
    from . import _close_socket  # imports wrapt, which an unaffected release never needs

    with _lock:
        if _enabled:  # unapply() may have come in between
            _close_socket.wrap(module.Connection, _is_enabled)


def _failure(exc: Exception) -> str:
    return (
        f"websockets-closefix couldn't be applied ({type(exc).__name__}: {exc}): "
        "call websockets_closefix.apply(strict=True) for the traceback"
    )


def _warn(message: str) -> None:
    if message in _warned:
        return
    _warned.add(message)
    import warnings

    try:
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    except Exception:  # python -W error: said all the same, but nothing stops for it
        print(message, file=sys.stderr)


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
