"""
Calls back each time a module has been executed; imports only what is built in.

The finder stays on ``sys.meta_path`` for good: a reload, a purged ``sys.modules`` and a first
import that failed all come through it again.

"""

import _thread
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, Callable, Optional

    Callback = Callable[[ModuleType], None]


def install(fullname: str, on_executed: "Callback") -> "Finder":
    """
    Call ``on_executed(module)`` whenever the module ``fullname`` has been executed.

    A second call for the same module changes nothing.

    Args:
        fullname: Absolute name of the module.
        on_executed: Called in the importing thread, which holds the module's import lock. What
            it raises comes out of the import statement.

    Returns:
        What is on ``sys.meta_path``.

    """
    finder = installed(fullname)
    if finder is None:
        finder = Finder(fullname, on_executed)
        sys.meta_path.insert(0, finder)
    return finder


def installed(fullname: str) -> "Optional[Finder]":
    """Return what :func:`install` put on ``sys.meta_path``, unless it is hidden or gone."""
    for finder in sys.meta_path:
        if isinstance(finder, Finder) and finder.fullname == fullname:
            return finder
    return None


def is_installed(fullname: str) -> bool:
    """Tell whether a finder for ``fullname`` is asked, be it behind somebody's proxy."""
    probe = PROBE + fullname
    return any(is_found(finder, probe) for finder in sys.meta_path)


def is_found(finder: "Any", fullname: str) -> bool:
    """Tell whether a finder, whoever wrote it, finds a module that isn't on any path."""
    try:
        return finder.find_spec(fullname, []) is not None
    except Exception:
        return False


def loaded(fullname: str) -> "Optional[ModuleType]":
    """Return what is in ``sys.modules``, unless it is lazy: looking at that would execute it."""
    module = sys.modules.get(fullname)
    return None if type(module).__name__ == "_LazyModule" else module


def is_half_way(module: "ModuleType") -> bool:
    """Tell whether a module is being executed."""
    if type(module) is not type(sys):
        return False
    return getattr(vars(module).get("__spec__"), "_initializing", False)


class Postponed(BaseException):
    """Ends a callback that wants to import what is about to be imported."""


PROBE = "websockets_closefix hooks "
"""Prefix of a name that nobody imports; our finder answers to it."""


class Finder:
    """Finds one module, by asking the finders after it, and has its loader call back."""

    def __init__(self, fullname: str, on_executed: "Callback") -> None:
        self.fullname = fullname
        self.on_executed = on_executed
        # What is there already is the business of whoever installs this.
        self.taken: Optional[ModuleType] = loaded(fullname)  # or being called back for
        self.done = self.taken
        self.asking: set[int] = set()
        self.catching_up: dict[int, str] = {}  # what was asked for, by thread

    def find_spec(
        self,
        fullname: str,
        path: "Optional[Sequence[str]]" = None,
        target: "Optional[ModuleType]" = None,
    ) -> "Optional[ModuleSpec]":
        """See :meth:`importlib.abc.MetaPathFinder.find_spec`."""
        if fullname == self.fullname:
            return self.find_hooked(path, target)
        if self.catching_up and self.catching_up.get(_thread.get_ident()) == fullname:
            raise Postponed
        if loaded(self.fullname) is not self.taken:
            self.catch_up(fullname)
        if fullname == PROBE + self.fullname:
            return type(sys.__spec__)(fullname, None)
        return None

    def find_hooked(
        self, path: "Optional[Sequence[str]]", target: "Optional[ModuleType]"
    ) -> "Optional[ModuleSpec]":
        """Find the module by asking the other finders."""
        thread = _thread.get_ident()
        if thread in self.asking:
            return None  # by a proxy of this finder, which this finder has asked
        self.asking.add(thread)
        try:
            for finder in self.finders_after():
                spec: Optional[ModuleSpec] = finder.find_spec(self.fullname, path, target)
                if spec is not None:
                    return self.hook(spec)
        finally:
            self.asking.discard(thread)
        return None

    def hook(self, spec: "ModuleSpec") -> "ModuleSpec":
        """Put a stand-in in the loader's place, if it is one that could load something."""
        if hasattr(spec.loader, "exec_module"):
            spec.loader = Loader(spec, self)  # type: ignore[assignment]
        elif hasattr(spec.loader, "load_module"):
            spec.loader = LegacyLoader(spec, self)  # type: ignore[assignment]
        return spec

    def finders_after(self) -> "list[Any]":
        """Return the finders that would be asked if this one weren't there."""
        finders = list(sys.meta_path)
        if self in finders:
            del finders[: finders.index(self) + 1]
        return [finder for finder in finders if hasattr(finder, "find_spec")]

    def catch_up(self, fullname: str) -> None:
        """
        Call back for a module that came into ``sys.modules`` without this finder.

        Another finder was faster (typeguard's, jaxtyping's), or a thread was half-way through the
        import when this one was installed. The callback imports; so that no module is executed
        twice, or met half-way, it waits for a moment in which nothing else is being imported but
        ``fullname``, and gives up, until something else is asked for, if it needs that itself.

        """
        module = loaded(self.fullname)
        if module is None:
            self.taken = self.done = None
            return
        if any(map(is_half_way, list(sys.modules.values()))):
            return
        thread = _thread.get_ident()
        self.catching_up[thread] = fullname
        try:
            self.call_back(module)
        except Postponed:
            self.taken = None
        finally:
            self.catching_up.pop(thread, None)

    def call_back(self, module: "ModuleType") -> None:
        """Call back for a module, once it has been executed."""
        self.taken = module
        self.on_executed(module)
        self.done = module


class StandIn:
    """Stands in for a spec's loader until the module is executed, then leaves no trace."""

    def __init__(self, spec: "ModuleSpec", finder: Finder) -> None:
        self.spec = spec
        self.loader: Any = spec.loader
        self.finder = finder

    def __getattr__(self, name: str) -> "Any":
        return getattr(self.loader, name)

    def __reduce__(self) -> "Any":
        return loader_itself, (self.loader,)


def loader_itself(loader: "Any") -> "Any":
    """Return what a copy of a stand-in, or one that was pickled, is: no stand-in."""
    return loader


class Loader(StandIn):
    """Stands in for a loader that executes a module."""

    def exec_module(self, module: "ModuleType") -> None:
        """See :meth:`importlib.abc.Loader.exec_module`."""
        self.spec.loader = module.__loader__ = self.loader
        self.finder.taken = module
        self.loader.exec_module(module)
        self.finder.call_back(module)


class LegacyLoader(StandIn):
    """Stands in for one that only makes modules, as zipimport's does before Python 3.10."""

    def load_module(self, fullname: str) -> "ModuleType":
        """See :meth:`importlib.abc.Loader.load_module`."""
        self.spec.loader = self.loader
        module: ModuleType = self.loader.load_module(fullname)
        self.finder.call_back(module)
        return module
