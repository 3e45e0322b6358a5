"""
Which bugs a build of websockets has: version and code must agree, bug by bug.

Where only one of the two says that a bug is there (a distribution's backport, a development build,
a fork, somebody else's patch), nobody has tested its fix: that bug is left alone.

"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, Literal, NamedTuple

from ._fixes import Fix, fixes_of

NEWEST_KNOWN = (17, 4)
"""The newest release whose code was looked at."""

UPGRADE_THIS = "upgrade websockets-closefix"

MOST_LAYERS = 100
"""Wrappers around a method; a proxy may have another ``__wrapped__`` each time it is asked."""


class UnrecognisedWebsockets(RuntimeError):
    """Raised by ``apply(strict=True)`` if there is something that the shim leaves alone."""


class Verdict(NamedTuple):
    """Whether a build has a bug; of what isn't recognised, a sentence that says what to do."""

    fix: Fix
    name: Literal["affected", "unrecognised"]
    detail: str = ""


def examine(module: ModuleType) -> list[Verdict]:
    """
    Judge a module of websockets.

    Args:
        module: One that a fix may name, fully imported.

    Returns:
        A verdict for each bug that this module has or that can't be recognised in it.

    """
    fixes = [fix for fix in fixes_of(package_of(module)) if fix.module == module.__name__]
    verdicts = (judge(fix, module, websockets_version()) for fix in fixes)
    return [verdict for verdict in verdicts if verdict is not None]


def examine_missing(package: str) -> list[Verdict]:
    """
    Judge the bugs whose modules a release newer than those known doesn't have any more.

    Args:
        package: One of the implementations, imported.

    """
    version = websockets_version()
    this = release(version) or ()
    fixes = [fix for fix in fixes_of(package) if this > NEWEST_KNOWN and fix.is_in(this)]
    missing = {module for module in {fix.module for fix in fixes} if not exists(module)}
    return [
        unrecognised(
            fix, f"websockets calls itself {version}, but has no {fix.module}", UPGRADE_THIS
        )
        for fix in fixes
        if fix.module in missing
    ]


def exists(module: str) -> bool:
    """Tell whether there is a module, imported or not, in a package that is imported."""
    return module in sys.modules or importlib.util.find_spec(module) is not None


def package_of(module: ModuleType) -> str:
    """Return the implementation that a module belongs to."""
    return module.__name__.rpartition(".")[0]


def judge(fix: Fix, module: ModuleType, version: str | None) -> Verdict | None:
    """Judge one bug in a build; :obj:`None` if it isn't there."""
    this = release(version)
    if this is None:
        return unrecognised(
            fix,
            f"websockets has a version that can't be read ({version!r})",
            "reinstall websockets from the package index",
        )
    looks = look(fix, module)
    appearances = set(looks.values())
    if fix.is_in(this):
        if appearances == {"flawed"}:
            return Verdict(fix, "affected")
        if this > NEWEST_KNOWN and appearances == {"cured"}:
            return None
        return unrecognised(fix, *explain(looks, module, this, version))
    is_on_its_way = this == fix.fixed  # a development build, perhaps without the cure
    if appearances == {"flawed"} and (is_on_its_way or this < fix.since):
        return unrecognised(
            fix,
            f"websockets calls itself {version}, but it has the bug of {span(fix)}",
            "reinstall websockets from the package index",
        )
    return None


def look(fix: Fix, module: ModuleType) -> dict[str, str]:
    """Say of each method that matters whether it looks ``flawed``, ``cured`` or ``unknown``."""
    looks = {method: look_at(fix, module, method) for method in fix.examined}
    replaced = [method for method in fix.wrappers if is_replaced(module, method)]
    return {**looks, **dict.fromkeys(replaced, "unknown")}


def look_at(fix: Fix, module: ModuleType, method: str) -> str:
    """Say how a method looks, going by the names that its code uses."""
    found = definition(module, method)
    names = (
        " ".join(name for layer in original_layers(*found) for name in names_in(layer))
        if found
        else ""
    )
    if fix.cured and re.search(fix.cured, names):
        return "cured"
    return "flawed" if re.search(fix.flawed, names) else "unknown"


def explain(
    looks: dict[str, str], module: ModuleType, this: tuple[int, ...], version: str | None
) -> tuple[str, str]:
    """Say why a bug isn't recognised in a release that ought to have it, and what to do."""
    method, appearance = next(each for each in looks.items() if each[1] != "flawed")
    beginning = f"websockets calls itself {version}, but"
    found = definition(module, method)
    if found is None:
        return f"{beginning} has no {method}", "reinstall websockets from the package index"
    there = describe(next(each for each in layers(*found) if not name_of_fix(each)))
    if appearance == "cured":
        return (
            f"{beginning} {there} already has the cure",
            "if that is a backport, nothing needs to be done",
        )
    if this > NEWEST_KNOWN:
        return (
            f"{beginning} {method} is unknown to websockets-closefix",
            UPGRADE_THIS,
        )
    return (
        f"{beginning} {there} isn't the {method} of that release",
        "if another patch or a mock replaced it, import websockets_closefix before that",
    )


def unrecognised(fix: Fix, why: str, what_to_do: str) -> Verdict:
    """Put the sentence together."""
    return Verdict(fix, "unrecognised", f"{why}: {fix.name} is left alone; {what_to_do}")


def span(fix: Fix) -> str:
    """Name the releases that have a bug."""
    since, fixed = (".".join(map(str, each or ())) for each in (fix.since, fix.fixed))
    return f"{since} and later" + (f", before {fixed}" if fixed else "")


# What the version says.


def websockets_version() -> str | None:
    """Return what the imported websockets calls itself; package metadata may belong to another."""
    version = getattr(sys.modules.get("websockets.version"), "version", None)
    return version if isinstance(version, str) else None  # else it is a mock's


def release(version: str | None) -> tuple[int, ...] | None:
    """
    Return the release segment of a version, as :pep:`440` names it.

    ``14.2.dev3+g1234567`` is on its way to 14.2 and counts as 14.2, not as a release before it.
    An epoch makes it another series of releases, of which nothing is known.

    """
    match = re.match(r"\d+(\.\d+)*(?!\d*!)", version or "")
    return tuple(int(number) for number in match[0].split(".")) if match else None


# What the code says.


def definition(module: ModuleType, method: str) -> tuple[type, str] | None:
    """
    Find where a method is defined.

    Args:
        module: Module of websockets.
        method: Names of a class in it and of its method, as in ``Assembler.close``.

    Returns:
        The class and the name of the method; :obj:`None` if there is no such method. Where
        somebody has put a subclass in the class's place, the class is still websockets' own; of
        a method that websockets overrides, it is the class that was asked for.

    """
    owner, _, name = method.partition(".")
    classes = getattr(getattr(module, owner, None), "__mro__", (object,))[:-1]
    # Not an application's subclass, nor the callbacks that asyncio.Protocol has.
    own = [each for each in classes if each.__module__.startswith("websockets.")]
    return next(((each, name) for each in own if name in vars(each)), None)


def is_replaced(module: ModuleType, method: str) -> bool:
    """Tell whether something stands in a method's place that doesn't lead to websockets' own."""
    found = definition(module, method)
    if found is None:
        return False
    modules = [attribute(layer, "__module__") for layer in layers(*found)]
    return not any(isinstance(m, str) and m.startswith("websockets.") for m in modules)


def layers(owner: type, name: str) -> list[Any]:
    """Return a method and what it wraps, outermost first, as far as can be seen."""
    found: list[Any] = []
    layer = vars(owner).get(name)
    while layer is not None and len(found) < MOST_LAYERS:
        found.append(layer)
        wrapped = attribute(layer, "__wrapped__")  # by wrapt, or by functools.wraps()
        layer = wrapped if wrapped is not None else replaced_by(layer, name)
    return found


def replaced_by(function: Any, name: str) -> Any:
    """
    Return the method that a home-made patch replaced, which it keeps in a variable.

    Args:
        function: The patch, a plain function.
        name: The method's name, which the variable's value has, whatever the variable's is.

    """
    if not isinstance(function, FunctionType):
        return None
    values = [attribute(cell, "cell_contents") for cell in function.__closure__ or ()]
    values += [function.__globals__.get(variable) for variable in function.__code__.co_names]
    for value in values:
        if value is not function and attribute(value, "__name__") == name:
            return value
    return None


def attribute(value: Any, name: str) -> Any:
    """Return an attribute; None where somebody's object, a proxy, say, can't or won't tell."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def name_of_fix(layer: Any) -> str | None:
    """Return the name of the fix whose wrapper a layer is; :obj:`None` if it isn't ours."""
    name = attribute(attribute(layer, "_self_wrapper"), "fix_name")
    return name if isinstance(name, str) else None


def original_layers(owner: type, name: str) -> list[Any]:
    """Return what is below our wrappers, or would be: what was put over them doesn't count."""
    found = layers(owner, name)
    ours = [position for position, layer in enumerate(found) if name_of_fix(layer)]
    return found[ours[-1] + 1 :] if ours else found


def names_in(layer: Any) -> Iterator[str]:
    """Yield the names that a layer's own code uses, those of functions nested in it last."""
    # A proxy of wrapt's passes off the code of what it wraps as its own.
    pending = [attribute(attribute(layer, "_self_wrapper") or layer, "__code__")]
    while pending:
        code = pending.pop(0)
        if isinstance(code, CodeType):
            yield from code.co_names
            pending += code.co_consts


def describe(layer: Any) -> str:
    """Name what is in a method's place: a function by where it was defined, or its type."""
    function = attribute(layer, "_self_wrapper") or layer
    for named in (function, type(function)):
        module, name = attribute(named, "__module__"), attribute(named, "__qualname__")
        if isinstance(module, str) and isinstance(name, str):
            return f"{module}.{name}"
    return repr(type(function))
