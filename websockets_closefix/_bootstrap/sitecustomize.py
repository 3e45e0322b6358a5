"""
Arms the shim in a program that ``websockets-closefix run`` started, and in its subprocesses.

``run`` puts this folder on ``PYTHONPATH``, which reaches every Python the program starts, be it of
another environment or of another release. The program's own ``sitecustomize`` comes next.

"""

import os
import sys

bootstrap = os.path.dirname(os.path.abspath(__file__))
site_packages = os.path.dirname(os.path.dirname(bootstrap))

sys.path[:] = [path for path in sys.path if path != bootstrap]


class LendingWrapt:
    """Finds wrapt beside websockets_closefix, for a repair where the environment has none."""

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        """See :meth:`importlib.abc.MetaPathFinder.find_spec`."""
        if fullname != "wrapt" or "websockets_closefix._patch" not in sys.modules:
            return None  # the program isn't to see it unless it has to be there
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(fullname, [site_packages])


if sys.version_info >= (3, 9):
    try:
        import websockets_closefix
    except ImportError:
        sys.path.insert(0, site_packages)
        try:
            import websockets_closefix  # noqa: F401

            sys.meta_path.append(LendingWrapt)
        finally:
            sys.path.remove(site_packages)

# Where there is no other one, the ImportError tells site so, as it would without this one.
del sys.modules["sitecustomize"]
import sitecustomize  # noqa: E402, F401
