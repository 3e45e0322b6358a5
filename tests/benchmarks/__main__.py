"""
Prints what the shim costs.

Run it as ``python -m tests.benchmarks --releases DIRECTORY``, with the package installed, not from
its checkout; the directory holds a folder for each release of websockets that is measured.

"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from . import asyncio_operations, operations, startup

ROW = "{:50}{:>8}{:>16}{:>9}".format


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--releases", metavar="DIRECTORY", type=Path, required=True)
    parser.add_argument("--rounds", metavar="N", type=int, default=40)
    arguments = parser.parse_args(argv)
    print(ROW("pair", "median", "quartiles", "budget"))
    for measured in (startup, operations, asyncio_operations):
        for name, ratios, budget in measured.pairs(arguments.rounds, arguments.releases):
            print_ratios(name, ratios, budget)


def print_ratios(name, ratios, budget):
    low, median, high = statistics.quantiles(ratios, n=4)
    quartiles = f"{low:.3f} to {high:.3f}"
    print(ROW(name, f"{median:.3f}", quartiles, budget or ""), flush=True)


if __name__ == "__main__":
    sys.exit(main())
