"""
Switches the shim on in a program that ``websockets-closefix run`` started, and in its subprocesses.

``run`` puts this folder on ``PYTHONPATH``, which reaches every Python that the program starts, also
those older than 3.9, hence nothing here that Python 2 couldn't compile. Another launcher, as New
Relic's, may execute this file in the namespace of its own ``sitecustomize``, hence the names.

"""

import os
import sys


class _LendingWrapt:
    """Finds wrapt beside websockets_closefix, where a fix needs it and the environment has none."""

    def __init__(self, folder):
        self.folder = folder

    def find_spec(self, fullname, path=None, target=None):
        """See :meth:`importlib.abc.MetaPathFinder.find_spec`."""
        # The program isn't to see it unless a module of websockets was examined, which needs it.
        if fullname != "wrapt" or "websockets_closefix._patch" not in sys.modules:
            return None
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(fullname, [self.folder])


def _closefix_switch_on(bootstrap):
    """Import websockets_closefix; where the environment has none, the one that this file is of."""
    try:
        import websockets_closefix
    except ImportError:
        folder = os.path.dirname(os.path.dirname(bootstrap))
        sys.path.insert(0, folder)
        try:
            import websockets_closefix  # noqa: F401
        finally:
            sys.path.remove(folder)
        sys.meta_path.append(_LendingWrapt(folder))


def _closefix_import_next():
    """Import the next sitecustomize, as if this one weren't there; raises what that one raises."""
    # What is there may be another launcher's, which has this file executed: it is to stay, and
    # isn't the next one, though its folder may still be on sys.path.
    this = sys.modules.pop("sitecustomize", None)
    folder = os.path.dirname(getattr(this, "__file__", None) or "")
    place = sys.path.index(folder) if folder in sys.path else None
    if place is not None:
        del sys.path[place]
    try:
        import sitecustomize  # noqa: F401
    except ImportError as exc:
        if getattr(exc, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        if place is not None:
            sys.path.insert(place, folder)
        if this is not None:
            sys.modules.setdefault("sitecustomize", this)


def _closefix_stay_in_front(bootstrap):
    """Have subprocesses meet this file first: OpenTelemetry's, in front, imports no next one."""
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if bootstrap in folders:
        folders.remove(bootstrap)
        folders.insert(0, bootstrap)
        os.environ["PYTHONPATH"] = os.pathsep.join(folders)


def _closefix_say(text):
    try:
        sys.stderr.write("websockets-closefix: " + text + "\n")
    except Exception:
        return  # stderr is closed, or there is none


def _closefix_start(bootstrap):
    sys.path[:] = [path for path in sys.path if path != bootstrap]
    if sys.version_info >= (3, 9):
        try:
            _closefix_switch_on(bootstrap)
        except Exception as exc:
            _closefix_say("it can't be switched on in this process: " + repr(exc))
    program = os.path.basename("".join(getattr(sys, "argv", [])[:1])).replace(".exe", "")
    if program in ("opentelemetry-instrument", "elasticapm-run"):
        _closefix_say(
            program + " imports no sitecustomize but its own, so that `run` doesn't reach the "
            "program: start it with `" + program + " websockets-closefix run COMMAND`"
        )
    try:
        _closefix_import_next()
    finally:
        _closefix_stay_in_front(bootstrap)


_closefix_start(os.path.dirname(os.path.abspath(__file__)))
