"""
Prints what the shim costs.

Run it as ``python -m tests.benchmarks --fixed DIRECTORY`` on an affected release, with the package
installed, not from its checkout; the directory holds websockets 14.2.

"""

from __future__ import annotations

import argparse
import statistics
import sys

from . import operations, startup

ROW = "{:50}{:>8}{:>16}{:>9}".format


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--fixed", metavar="DIRECTORY", required=True)
    parser.add_argument("--rounds", metavar="N", type=int, default=40)
    arguments = parser.parse_args(argv)
    print(ROW("pair", "median", "quartiles", "budget"))
    for name, ratios, budget in startup.pairs(arguments.rounds, arguments.fixed):
        print_ratios(name, ratios, budget)
    for name, ratios, budget in operations.pairs(arguments.rounds, arguments.fixed):
        print_ratios(name, ratios, budget)


def print_ratios(name, ratios, budget):
    low, median, high = statistics.quantiles(ratios, n=4)
    quartiles = f"{low:.3f} to {high:.3f}"
    print(ROW(name, f"{median:.3f}", quartiles, budget or ""), flush=True)


if __name__ == "__main__":
    sys.exit(main())
