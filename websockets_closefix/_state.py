"""
What all parts of the package share: whether the shim is wanted, the lock, and the counter.

It is loaded in every Python process of a machine that arms the shim from ``sitecustomize``, so it
imports only what is built in, and nothing of the package.

"""

import _thread
import os

PACKAGES = ("websockets.sync", "websockets.asyncio", "websockets.legacy")
"""The implementations."""

MODULES = (
    "websockets.sync.client",
    "websockets.sync.connection",
    "websockets.sync.server",
    "websockets.asyncio.client",
    "websockets.asyncio.connection",
    "websockets.asyncio.server",
    "websockets.legacy.protocol",
    "websockets.legacy.server",
)
"""Their modules that are examined when they are imported: those that fixes may name."""

# What apply() and unapply() said last. Wrappers ask at each call, so that those which can't be
# taken off any more (a class from before a reload, another patch on top) obey, too.
wanted = False

# How many times a fix had to repair a connection that it couldn't keep from breaking.
repaired = 0

# Serialises putting on, taking off and counting. Nothing is imported while it is held: an importing
# thread holds import locks when it gets here, so the order is always import locks first, then this.
lock = _thread.RLock()  # re-entrant, since a signal handler may apply or unapply, too


def renew_lock() -> None:
    """Forget the lock's owner after a fork: it is a thread of the parent process, perhaps."""
    global lock
    lock = _thread.RLock()


if hasattr(os, "register_at_fork"):  # pragma: no branch: Windows has no fork
    os.register_at_fork(after_in_child=renew_lock)


def switched_off() -> bool:
    """Tell whether ``WEBSOCKETS_CLOSEFIX`` switches the shim off."""
    switch = os.environ.get("WEBSOCKETS_CLOSEFIX", "")
    return switch.strip().lower() in ("0", "off", "false", "no")


def skipped() -> "set[str]":
    """Return the names in ``WEBSOCKETS_CLOSEFIX_SKIP``: fixes to leave off."""
    names = os.environ.get("WEBSOCKETS_CLOSEFIX_SKIP", "").split(",")
    return {name.strip() for name in names} - {""}


def is_wanted() -> bool:
    """Tell what :func:`apply` and :func:`unapply` said last."""
    return wanted


def count_repair() -> None:
    """Count a repair; any thread may call it."""
    global repaired
    with lock:
        repaired += 1


def warn_once(message: str) -> None:
    """Issue a :exc:`RuntimeWarning`; no application stops for it, be it started with -W error."""
    if message in warned:
        return
    warned.add(message)
    import sys
    import warnings

    try:
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    except Exception:  # -W error: it is said all the same
        try:
            sys.stderr.write(f"{message}\n")
        except Exception:
            return  # stderr is closed, or there is none


warned: "set[str]" = set()
