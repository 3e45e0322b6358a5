"""What a fix is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Wrapper = Callable[[Callable[..., Any], Any, Args, Kwargs], Any]
"""As wrapt calls it: with the original, bound; its instance; and the call's arguments."""


class Fix(NamedTuple):
    """
    A bug, the releases that have it, how it shows in their code, and the wrappers that fix it.

    A method's code is known by the names that it uses, in the order of their first use.

    """

    name: str
    """Implementation and file: what operators call it."""

    issue: int | None
    """Upstream's issue, where there is one."""

    symptom: str
    """What an application meets."""

    since: tuple[int, ...]
    """First release that has it."""

    fixed: tuple[int, ...] | None
    """First release that doesn't have it any more; :obj:`None` while there is none."""

    module: str
    """Module in which the methods below are looked up."""

    examined: tuple[str, ...]
    """Methods in which the bug, or its cure, can be seen."""

    flawed: str
    """Regular expression that finds the bug in the names of each of them."""

    cured: str | None
    """Regular expression that finds the cure there; it is looked for first."""

    wrappers: Mapping[str, Wrapper]
    """What is wrapped, as far as the release has it, and the wrapper of each."""

    def is_in(self, release: tuple[int, ...]) -> bool:
        """Tell whether a release has the bug, going by its number."""
        return self.since <= release and (self.fixed is None or release < self.fixed)
