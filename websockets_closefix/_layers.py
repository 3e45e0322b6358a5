"""Looks at a method of websockets, and at whatever has been wrapped around it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any


def definition(connection_module: ModuleType, method: str) -> tuple[type, str] | None:
    """
    Find where a method is defined.

    Args:
        connection_module: ``websockets.sync.connection``.
        method: Names of a class of that module and of its method, as in ``Assembler.close``.

    Returns:
        The class and the name of the method; :obj:`None` if there is no such method. Where
        somebody has put a subclass in the class's place, the class is still websockets' own.

    """
    owner, _, name = method.partition(".")
    classes = getattr(getattr(connection_module, owner, None), "__mro__", (object,))[:-1]
    defining = [each for each in classes if name in vars(each)]
    return (defining[-1], name) if defining else None


def layers(owner: type, name: str) -> list[Any]:
    """
    Return a method and what it wraps, outermost first, as far as can be seen.

    A wrapper made by wrapt or :func:`functools.wraps` says in ``__wrapped__`` what it calls; of a
    plain function that replaced the method, the one of that name among the variables it reads.

    """
    seen: list[Any] = []
    pending = [vars(owner).get(name)]
    while pending and len(seen) < MOST_LAYERS:
        layer = pending.pop(0)
        if layer is None or any(layer is other for other in seen):
            continue
        seen.append(layer)
        wrapped = attribute(layer, "__wrapped__")
        if wrapped is not None:
            pending.append(wrapped)
        elif isinstance(layer, FunctionType):
            pending += [v for v in variables_of(layer) if attribute(v, "__name__") == name]
    return seen


MOST_LAYERS = 100
"""An object may have another ``__wrapped__`` each time it is asked."""


def attribute(value: Any, name: str) -> Any:
    """Return an attribute; None where somebody's object, a proxy, say, can't or won't tell."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def is_ours(layer: Any) -> bool:
    """Tell whether a layer is a wrapper of this package's, bound or not."""
    wrapper = getattr(layer, "_self_wrapper", None)
    return str(getattr(wrapper, "__module__", "")).startswith(f"{__package__}._flaws.")


def original_layers(owner: type, name: str) -> list[Any]:
    """Return what is below our wrapper, or would be: what was put over it later doesn't count."""
    found = layers(owner, name)
    for position, layer in enumerate(found):
        if is_ours(layer):
            return found[position + 1 :]
    return found


def used_names(found: list[Any]) -> str:
    """Return the names that the code of some layers uses, each layer's in the order of use."""
    return " ".join(name for layer in found for name in code_names(layer))


def code_names(layer: Any) -> Iterator[str]:
    """Yield the names that a layer's own code uses, those of functions nested in it last."""
    pending = [code_of(layer)]
    while pending:
        code = pending.pop(0)
        if code is not None:
            yield from code.co_names
            pending += [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def code_of(layer: Any) -> CodeType | None:
    """Return a layer's own code; :obj:`None` where it is compiled to the machine's."""
    # A proxy of wrapt's passes off the code of what it wraps as its own.
    function = getattr(layer, "_self_wrapper", layer)
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None


def variables_of(function: FunctionType) -> list[Any]:
    """
    Return the values of the variables, not its own, that a function reads.

    :func:`inspect.getclosurevars` would do; but importing inspect costs a tenth of what importing
    ``websockets.sync.client`` does, also on releases that have nothing to repair.

    """
    values = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # the variable isn't set yet
            values.append(cell.cell_contents)
    names = function.__code__.co_names
    values += [function.__globals__[name] for name in names if name in function.__globals__]
    return values


def describe(layer: Any) -> str:
    """Name the code of a layer by where it was defined."""
    function = getattr(layer, "_self_wrapper", layer)
    module, name = (getattr(function, a, "?") for a in ("__module__", "__qualname__"))
    return f"{module}.{name}"
