"""Build the sdist, from it the wheel, check them, and verify the wheel beside websockets."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from ..sdks.environments import ROOT, Environment, Failed, run
from .checks import refusals

DIST = ROOT / "dist"


def main(releases: list[str]) -> int:
    """
    Do all that comes before publishing.

    Args:
        releases: The releases of websockets to verify the wheel on.

    Returns:
        0 if what is in ``dist`` can be published.

    """
    reasons = refusals(ROOT)
    if reasons:
        print(*reasons, sep="\n", file=sys.stderr)
        return 1
    try:
        wheel = build()
        for release in releases:
            print(f"websockets {release}: {verify(wheel, release)}", flush=True)
    except Failed as exc:
        print(exc, file=sys.stderr)
        return 1
    print(f"ready to be published: {', '.join(sorted(path.name for path in DIST.iterdir()))}")
    return 0


def build() -> Path:
    """Fill ``dist`` with an sdist and the wheel that is built from it, and check their metadata."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT))
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, DIST.iterdir()))
    [wheel] = DIST.glob("*.whl")
    return wheel


def verify(wheel: Path, release: str) -> str:
    """Install the wheel beside a release of websockets, and nothing else; return the verdict."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(Path(folder))
        environment.install(f"websockets=={release}", str(wheel))
        return environment.run("-m", "websockets_closefix", "verify").strip().rpartition("\n")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
