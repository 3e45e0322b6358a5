"""
A third-party program: it imports websockets.sync.client and knows nothing of the shim.

It meets the race in the calling thread, then in the reader thread, and prints what came out. Its
argument is the file that provokes the race, if that isn't in the checkout.

"""

import importlib.util
import sys
from pathlib import Path

PROVOKE = sys.argv[1:] or [Path(__file__).parents[1] / "websockets_closefix" / "_provoke.py"]


def main():
    provoke = load(*PROVOKE)
    for meet_the_race in (provoke.reader_held, provoke.caller_held):
        with provoke.peer(provoke.stay_silent) as uri:
            outcome = meet_the_race(uri)
        print(*(type(exc).__name__ for exc in outcome))


def load(path):
    """Execute one file of a package, not the package, whose import would be the cure."""
    spec = importlib.util.spec_from_file_location("provoke", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
