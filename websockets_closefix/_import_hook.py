"""
Calls back each time a module has been executed; imports nothing but :mod:`sys`.

The finder stays on ``sys.meta_path`` for good: a reload, a purged ``sys.modules`` and a first
import that failed all come through it again.

"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, Callable, Optional

    Callback = Callable[[ModuleType], None]


def install(fullname: str, on_executed: "Callback") -> None:
    """
    Call ``on_executed(module)`` whenever the module ``fullname`` has been executed.

    A second call for the same module changes nothing.

    Args:
        fullname: Absolute name of the module.
        on_executed: Called in the importing thread, which holds the module's import lock. What
            it raises comes out of the import statement.

    """
    if not is_installed(fullname):
        sys.meta_path.insert(0, Finder(fullname, on_executed))


def is_installed(fullname: str) -> bool:
    """Tell whether :func:`install` was called for ``fullname`` and its finder is still there."""
    return any(isinstance(f, Finder) and f.fullname == fullname for f in sys.meta_path)


class Finder:
    """Finds one module, by asking the finders after it, and has its loader call back."""

    def __init__(self, fullname: str, on_executed: "Callback") -> None:
        self.fullname = fullname
        self.on_executed = on_executed

    def find_spec(
        self,
        fullname: str,
        path: "Optional[Sequence[str]]" = None,
        target: "Optional[ModuleType]" = None,
    ) -> "Optional[ModuleSpec]":
        """See :meth:`importlib.abc.MetaPathFinder.find_spec`."""
        if fullname != self.fullname:
            return None
        for finder in self.finders_after():
            spec: Optional[ModuleSpec] = finder.find_spec(fullname, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = Loader(spec, self.on_executed)  # type: ignore[assignment]
                elif hasattr(spec.loader, "load_module"):
                    spec.loader = LegacyLoader(spec, self.on_executed)  # type: ignore[assignment]
                return spec
        return None

    def finders_after(self) -> "list[Any]":
        """Return the finders that would be asked if this one weren't there."""
        finders = list(sys.meta_path)
        if self in finders:
            del finders[: finders.index(self) + 1]
        return [finder for finder in finders if hasattr(finder, "find_spec")]


class StandIn:
    """Stands in for a spec's loader until the module is executed, then leaves no trace."""

    def __init__(self, spec: "ModuleSpec", on_executed: "Callback") -> None:
        self.spec = spec
        self.loader: Any = spec.loader
        self.on_executed = on_executed

    def __getattr__(self, name: str) -> "Any":
        return getattr(self.loader, name)


class Loader(StandIn):
    """Stands in for a loader that executes a module."""

    def exec_module(self, module: "ModuleType") -> None:
        """See :meth:`importlib.abc.Loader.exec_module`."""
        self.spec.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        self.on_executed(module)


class LegacyLoader(StandIn):
    """Stands in for one that only makes modules, as zipimport's does before Python 3.10."""

    def load_module(self, fullname: str) -> "ModuleType":
        """See :meth:`importlib.abc.Loader.load_module`."""
        self.spec.loader = self.loader
        module: ModuleType = self.loader.load_module(fullname)
        self.on_executed(module)
        return module
