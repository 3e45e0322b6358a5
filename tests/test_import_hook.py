"""The hook calls back, and otherwise nobody notices it."""

from __future__ import annotations

import copy
import importlib
import importlib.machinery
import importlib.util
import inspect
import sys
import types
from unittest.mock import MagicMock

import pytest

from websockets_closefix import _import_hook

NAME = "hooked_package.hooked_module"


@pytest.fixture
def hooked(tmp_path, monkeypatch):
    """Install the hook for a module of our own and yield the list of modules it saw."""
    package = tmp_path / "hooked_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "hooked_module.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = []
    monkeypatch.setattr(
        sys,
        "meta_path",
        [f for f in sys.meta_path if not isinstance(f, _import_hook.Finder)],
    )
    _import_hook.install([NAME], seen.append)
    yield seen
    for name in (NAME, "hooked_package"):
        sys.modules.pop(name, None)


def test_calls_back_once_the_module_is_executed(hooked, monkeypatch):
    values = []
    monkeypatch.setattr(sys.meta_path[0], "on_executed", lambda module: values.append(module.value))
    importlib.import_module("hooked_package")
    assert values == []
    importlib.import_module(NAME)
    assert values == [1]


def test_installed_once(hooked):
    before = list(sys.meta_path)
    _import_hook.install([NAME], hooked.append)
    assert sys.meta_path == before
    assert _import_hook.is_installed()
    sys.meta_path.pop(0)
    assert not _import_hook.is_installed()


def test_leaves_no_trace_on_the_module(hooked):
    module = importlib.import_module(NAME)
    assert type(module.__loader__) is importlib.machinery.SourceFileLoader
    assert module.__spec__.loader is module.__loader__
    assert module.__spec__.origin == module.__file__
    assert inspect.getsource(module) == "value = 1\n"


def test_loader_leaves_no_trace_while_the_module_is_executed(hooked, tmp_path):
    source = tmp_path / "hooked_package" / "hooked_module.py"
    source.write_text("loader = __loader__\nspec_loader = __spec__.loader\n")
    module = importlib.import_module(NAME)
    assert module.loader is module.spec_loader is module.__spec__.loader
    assert type(module.loader) is importlib.machinery.SourceFileLoader


def test_spec_of_a_module_that_is_not_imported(hooked):
    spec = importlib.util.find_spec(NAME)
    assert spec.loader.get_source(NAME) == "value = 1\n"
    assert not hasattr(spec.loader, "load_everything")
    assert hooked == []


def test_calls_back_after_a_reload(hooked):
    module = importlib.import_module(NAME)
    assert importlib.reload(module) is module
    assert hooked == [module, module]
    assert type(module.__loader__) is importlib.machinery.SourceFileLoader


def test_calls_back_after_a_purge(hooked):
    first = importlib.import_module(NAME)
    del sys.modules[NAME]
    second = importlib.import_module(NAME)
    assert hooked == [first, second]
    assert first is not second


def test_calls_back_after_a_failed_first_import(hooked, tmp_path):
    source = tmp_path / "hooked_package" / "hooked_module.py"
    source.write_text("raise LookupError('not yet')\n")
    with pytest.raises(LookupError, match="not yet"):
        importlib.import_module(NAME)
    assert hooked == []
    source.write_text("value = 'at last'\n")
    importlib.invalidate_caches()
    assert importlib.import_module(NAME).value == "at last"
    assert len(hooked) == 1


def test_asks_only_the_finders_after_it(hooked):
    class Guard:
        asked = 0

        def find_spec(self, name, path=None, target=None):
            type(self).asked += name == NAME

    sys.meta_path.insert(0, Guard())
    importlib.import_module(NAME)
    assert Guard.asked == 1
    assert len(hooked) == 1


def test_finders_without_find_spec_and_modules_that_nobody_finds(hooked, tmp_path):
    class Ancient:
        pass

    path = importlib.import_module("hooked_package").__path__
    finder = sys.meta_path[0]
    sys.meta_path.append(Ancient())
    (tmp_path / "hooked_package" / "hooked_module.py").unlink()
    importlib.invalidate_caches()
    assert finder.find_spec(NAME, path) is None


def test_finder_that_is_asked_although_it_was_removed(hooked):
    finder = sys.meta_path.pop(0)
    path = importlib.import_module("hooked_package").__path__
    assert finder.find_spec(NAME, path).loader.get_source(NAME) == "value = 1\n"


def test_namespace_package(hooked, tmp_path):
    """It has a spec without a loader that could execute anything."""
    folder = tmp_path / "hooked_package" / "hooked_module"
    (tmp_path / "hooked_package" / "hooked_module.py").unlink()
    folder.mkdir()
    importlib.invalidate_caches()
    module = importlib.import_module(NAME)
    assert list(module.__path__) == [str(folder)]


# Around the finder, and past it.


class Proxied:
    """As import tracers, profilers and sandboxes put them around every finder."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return self.finder.find_spec(name, path, target)


def test_proxies_around_the_finders(hooked):
    sys.meta_path[:] = [Proxied(finder) for finder in sys.meta_path]
    assert importlib.import_module(NAME).value == 1
    assert len(hooked) == 1


def test_proxies_that_find_nothing(hooked, tmp_path):
    sys.meta_path[:] = [Proxied(finder) for finder in sys.meta_path]
    (tmp_path / "hooked_package" / "hooked_module.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(NAME)
    assert not sys.meta_path[0].finder.asking


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_of_a_spec(hooked, duplicate):
    spec = importlib.util.find_spec(NAME)
    for each in (duplicate(spec.loader), duplicate(spec).loader):
        assert each.get_source(NAME) == "value = 1\n"


def test_lazy_module_is_left_alone_until_it_is_used(hooked):
    spec = importlib.util.find_spec(NAME)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert list(_import_hook.loaded([NAME])) == []
    assert hooked == []
    assert type(module) is not types.ModuleType
    assert module.value == 1
    assert hooked == [module]
    assert module in _import_hook.loaded([NAME])


def test_mocks_are_not_looked_at(hooked, monkeypatch):
    monkeypatch.setitem(sys.modules, NAME, MagicMock())
    assert list(_import_hook.loaded([NAME])) == []


def test_tells_of_a_module_that_is_being_executed(hooked, tmp_path):
    source = tmp_path / "hooked_package" / "hooked_module.py"
    source.write_text(
        "import sys\n"
        "from websockets_closefix import _import_hook\n"
        "value = _import_hook.is_being_executed(sys.modules[__name__])\n"
    )
    module = importlib.import_module(NAME)
    assert module.value
    assert not _import_hook.is_being_executed(module)
