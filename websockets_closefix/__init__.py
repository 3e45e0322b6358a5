"""
Makes connections of the websockets library end properly.

Importing this package is enough; :func:`apply`, :func:`unapply` and :func:`status` are there to
steer it and to look. The bugs, one file each: ``websockets_closefix/_fixes/__init__.py``.

Every Python process of a machine that arms the shim from ``sitecustomize`` pays for what is
imported here, so at module level that is the import hook and the state; the rest waits.

"""

import _thread

from . import _import_hook, _state

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from types import ModuleType

    from ._detect import UnrecognisedWebsockets
    from ._status import BugStatus, State, Status

__all__ = ["BugStatus", "State", "Status", "UnrecognisedWebsockets", "apply", "status", "unapply"]

__version__ = "1.0.0"


def apply(*, strict: bool = False) -> "Status":
    """
    Fix websockets, now as far as it is imported, and the rest when it is imported.

    Calling it again changes nothing; any thread may call it. It never imports websockets, and
    never raises: whatever goes wrong ends in a :exc:`RuntimeWarning`, unless ``strict`` is set.
    The environment variable ``WEBSOCKETS_CLOSEFIX``, set to ``0``, ``off``, ``false`` or ``no``,
    wins over it.

    Args:
        strict: Import all implementations that this release of websockets has now, and raise
            where the shim would otherwise warn. It defaults to :obj:`False`.

    Returns:
        What :func:`status` returns afterwards.

    Raises:
        UnrecognisedWebsockets: If ``strict`` is set and a bug isn't recognised in this build of
            websockets. It names all of them. The others are fixed all the same.
        ImportError: If ``strict`` is set and there is no ``websockets.sync`` to examine, or
            wrapt can't be imported.

    """
    if _state.switched_off():
        return unapply()
    _arm(strict=strict)
    return status()


def unapply() -> "Status":
    """
    Take the shim off: the exact opposite of :func:`apply`, and as safe to call again.

    The original methods come back, the very objects, where nothing else has wrapped them since;
    otherwise the shim is switched off in place and the other wrapper stays.

    Returns:
        What :func:`status` returns afterwards: its state is ``disabled``.

    """
    from . import _patch

    _patch.take_off()
    return status()


def status() -> "Status":
    """
    Tell where this process stands.

    Returns:
        An immutable :class:`Status`: ``state``, ``websockets_version``, ``detail`` (one sentence
        that a person understands; also ``str(status)``), ``repaired`` (how many times a repair
        stepped in) and ``bugs`` (of each that this release has: name, issue, symptom, state).

    """
    _catch_up()
    from . import _status

    return _status.derive()


if not TYPE_CHECKING:  # else type checkers would take any name for one of this package's

    def __getattr__(name):
        # They need typing, which nobody should pay for at start-up.
        if name == "UnrecognisedWebsockets":
            from . import _detect

            return _detect.UnrecognisedWebsockets
        if name in ("BugStatus", "State", "Status"):
            from . import _status

            return getattr(_status, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _arm(*, strict: bool = False) -> None:
    problems: list[Exception] = []
    try:
        with _state.lock:
            _state.wanted = True
            _import_hook.install(_state.MODULES, _on_executed)
        if strict:
            from . import _patch

            _strict_threads.add(_thread.get_ident())
            _patch.import_all()
    except Exception as exc:
        problems.append(exc)
    finally:
        _strict_threads.discard(_thread.get_ident())
    for module in _import_hook.loaded(_state.MODULES):
        problems += _fix(module)
    if strict and problems:
        raise _all_in_one(problems)
    _warn(problems)


def _catch_up() -> None:
    """Fix what came into ``sys.modules`` past the import hook, before its status is derived."""
    for module in _import_hook.loaded(_state.MODULES):
        if not _import_hook.is_being_executed(module):
            _warn(_put_on(module))


_strict_threads: "set[int]" = set()


def _on_executed(module: "ModuleType") -> None:
    """Fix a module that is being imported; the import statement must not fail for it."""
    # apply(strict=True) fixes what it imports itself, and raises instead of warning.
    if _thread.get_ident() not in _strict_threads:
        _warn(_put_on(module))


def _fix(module: "ModuleType") -> "list[Exception]":
    """Fix a module once its import is over, and return what kept us from it."""
    try:
        if _import_hook.is_being_executed(module):
            # By another thread, perhaps since before the hook was there: this waits for it.
            __import__(module.__name__)
        if _import_hook.is_being_executed(module):
            return []  # by this thread
    except Exception as exc:
        return [exc]
    return _put_on(module)


def _put_on(module: "ModuleType") -> "list[Exception]":
    """Put wrappers on a module, and return what kept us from it."""
    if not _state.wanted:
        return []
    try:
        from . import _patch

        return _patch.put_on(module)
    except Exception as exc:
        return [exc]


def _all_in_one(problems: "list[Exception]") -> Exception:
    """Return the first problem that isn't about unrecognised code; else all in one."""
    from . import _detect

    for problem in problems:
        if not isinstance(problem, _detect.UnrecognisedWebsockets):
            return problem
    return _detect.UnrecognisedWebsockets("\n".join(dict.fromkeys(map(str, problems))))


def _warn(problems: "list[Exception]") -> None:
    for problem in problems:
        message = str(problem)
        if type(problem).__name__ != "UnrecognisedWebsockets":
            message = (
                f"websockets-closefix couldn't be applied ({type(problem).__name__}: {message}): "
                "call websockets_closefix.apply(strict=True) for the traceback"
            )
        _state.warn_once(message)


if not _state.switched_off():
    _arm()
