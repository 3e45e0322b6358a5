"""
A third-party program: it imports websockets.sync.client and knows nothing of the shim.

It meets the race in the calling thread, then in the reader thread, and prints what came out. Its
argument is the folder of what reproduces the race, if that isn't in the checkout.

"""

import sys
from pathlib import Path

PACKAGE = sys.argv[1:] or [str(Path(__file__).parents[1] / "websockets_closefix")]


def main():
    # By itself, not as a part of the package, whose import would be the cure.
    sys.path[:0] = PACKAGE
    from _repro.sync import close_race

    for meet_the_race in (close_race.send, close_race.close):
        print(*(type(exc).__name__ for exc in meet_the_race("client")))


if __name__ == "__main__":
    main()
