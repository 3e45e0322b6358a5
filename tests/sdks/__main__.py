"""Drive SDKs without the shim, with ``enable`` and with ``run``, and print what came out."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .environments import ROOT, Environment, Failed, Outcome
from .sdks import QUICK, SDK, SDKS

OURS = ("-m", "websockets_closefix")


class Row(NamedTuple):
    """A line of the table, and whether it is as promised."""

    cells: tuple[str, ...]
    as_promised: bool


def main(argv: list[str]) -> int:
    """Run the command line; the exit code tells whether everything was as promised."""
    parser = argparse.ArgumentParser(prog="python -m tests.sdks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three of the quickest")
    parser.add_argument("names", nargs="*", help="the SDKs to drive; all of them if there is none")
    arguments = parser.parse_args(argv)
    known = {sdk.name for sdk in SDKS}
    if not known.issuperset(arguments.names):
        parser.error(f"the SDKs that can be named are {', '.join(sorted(known))}")
    chosen = [sdk for sdk in SDKS if sdk.driver in QUICK or not arguments.quick]
    if arguments.names:
        chosen = [sdk for sdk in SDKS if sdk.name in arguments.names]
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for sdk in chosen for row in examine(sdk, Path(folder, sdk.driver))]
    print_table(rows)
    return 0 if all(row.as_promised for row in rows) else 1


def examine(sdk: SDK, folder: Path) -> Iterator[Row]:
    """Install an SDK and drive it; what can't be done is said in the table."""
    print(f"{sdk.requirement} ...", file=sys.stderr, flush=True)
    title = sdk.requirement
    try:
        environment = Environment(folder)
        environment.install(sdk.requirement)
        pinned = environment.websockets()
        environment.install(*[f"websockets=={sdk.websockets}"] if sdk.websockets else [])
        environment.install(f"websockets-closefix @ {ROOT.as_uri()}")
    except Failed as exc:
        yield Row((title, "", f"can't be installed: {exc}"), False)
        return
    title = f"{title}, {environment.websockets()}"
    if sdk.websockets:
        title += f" (its pins: {pinned})"
    try:
        yield from compare(sdk, environment, title)
        yield status(environment, title)
    except Failed as exc:
        yield Row((title, "", f"failed: {exc}"), False)


def compare(sdk: SDK, environment: Environment, title: str) -> Iterator[Row]:
    """End the SDK's connections without the shim and with it, which is left switched on."""
    without = environment.drive(sdk)
    with_run = environment.drive(sdk, *OURS, "run", environment.python)
    environment.run(*OURS, "enable")
    enabled = environment.drive(sdk)
    for outcomes in zip(without, enabled, with_run):
        yield Row(
            (title, outcomes[0].scenario, *(outcome.ended_in for outcome in outcomes)),
            is_cured(*outcomes),
        )


def is_cured(without: Outcome, *with_shim: Outcome) -> bool:
    """Tell whether the bug showed without the shim, and only there."""
    return not without.ends_well and all(outcome.ends_well for outcome in with_shim)


def status(environment: Environment, title: str) -> Row:
    """Ask status, which has to find the environment safe, with the shim switched on."""
    state = environment.status()["state"]
    return Row((title, "status", state), state == "applied")


def print_table(rows: list[Row]) -> None:
    """Print the rows in columns, each SDK's name once."""
    header = ("SDK, websockets", "scenario", "without", "enable", "run")
    lines = [Row(header, True), *rows]
    widths = [max(len(row.cells[i]) for row in lines if len(row.cells) > 3) for i in range(5)]
    previous = None
    for row in lines:
        name, *cells = row.cells
        columns = ["" if name == previous else name, *cells]
        text = "  ".join(f"{cell:<{width}}" for cell, width in zip(columns, widths))
        print(f"{text.rstrip()}{'' if row.as_promised else '  <- not as promised'}")
        previous = name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
