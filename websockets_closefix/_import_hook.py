"""
Calls back each time one of some modules has been executed; imports only what is built in.

The finder stays on ``sys.meta_path`` for good: a reload, a purged ``sys.modules`` and a first
import that failed all come through it again.

"""

import _thread
import sys

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, Callable, Optional

    Callback = Callable[[ModuleType], None]


def install(modules: "Collection[str]", on_executed: "Callback") -> None:
    """
    Call ``on_executed(module)`` whenever one of these modules has been executed.

    A second call changes nothing, unless somebody has taken the finder off ``sys.meta_path``.

    Args:
        modules: Their absolute names.
        on_executed: Called in the importing thread, which holds the module's import lock. What
            it raises comes out of the import statement.

    """
    if not is_installed():
        sys.meta_path.insert(0, Finder(modules, on_executed))


def is_installed() -> bool:
    """Tell whether there is a finder on ``sys.meta_path``."""
    return any(isinstance(finder, Finder) for finder in sys.meta_path)


def loaded(modules: "Collection[str]") -> "Iterator[ModuleType]":
    """
    Yield those of these modules that are in ``sys.modules``, as far as they are real.

    A lazy module would be executed if it were looked at, and a mock has nothing to look at.

    """
    for name in modules:
        module = sys.modules.get(name)
        if module is not None and type(module) is type(sys):
            yield module


def is_being_executed(module: "ModuleType") -> bool:
    """Tell whether the import of a module is under way."""
    return getattr(vars(module).get("__spec__"), "_initializing", False)


class Finder:
    """Finds modules by asking the finders after it, and has their loaders call back."""

    def __init__(self, modules: "Collection[str]", on_executed: "Callback") -> None:
        self.modules = modules
        self.on_executed = on_executed
        self.asking: set[tuple[int, str]] = set()

    def find_spec(
        self,
        fullname: str,
        path: "Optional[Sequence[str]]" = None,
        target: "Optional[ModuleType]" = None,
    ) -> "Optional[ModuleSpec]":
        """See :meth:`importlib.abc.MetaPathFinder.find_spec`."""
        if fullname not in self.modules:
            return None
        question = (_thread.get_ident(), fullname)
        if question in self.asking:
            return None  # asked by somebody's proxy of this finder, which this finder has asked
        self.asking.add(question)
        try:
            for finder in self.finders_after():
                spec: Optional[ModuleSpec] = finder.find_spec(fullname, path, target)
                if spec is not None:
                    if hasattr(spec.loader, "exec_module"):
                        spec.loader = Loader(spec, self.on_executed)  # type: ignore[assignment]
                    return spec
        finally:
            self.asking.discard(question)
        return None

    def finders_after(self) -> "list[Any]":
        """Return the finders that would be asked if this one weren't there."""
        finders = list(sys.meta_path)
        if self in finders:
            del finders[: finders.index(self) + 1]
        return [finder for finder in finders if hasattr(finder, "find_spec")]


class Loader:
    """Stands in for a spec's loader until the module is executed, then leaves no trace."""

    loader: "Any" = None  # so that __getattr__() ends where a copy is made of this

    def __init__(self, spec: "ModuleSpec", on_executed: "Callback") -> None:
        self.spec = spec
        self.loader = spec.loader
        self.on_executed = on_executed

    def __getattr__(self, name: str) -> "Any":
        return getattr(self.loader, name)

    def exec_module(self, module: "ModuleType") -> None:
        """See :meth:`importlib.abc.Loader.exec_module`."""
        self.spec.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        self.on_executed(module)
