"""What the table says, short of installing an SDK: that is for ``nox -s sdks``."""

from __future__ import annotations

import pytest

from . import __main__ as table
from .environments import DRIVERS, Failed, Outcome
from .sdks import QUICK, SDKS

CLOSED = Outcome("close", True, "silence")
HANGS = Outcome("close", False, "hangs (caller)")


def test_each_driver_is_run():
    drivers = {path.stem for path in DRIVERS.glob("*.py")} - {"forcing"}
    assert {sdk.driver for sdk in SDKS} == drivers
    assert drivers.issuperset(QUICK)


def test_what_cannot_be_installed_is_in_the_table(monkeypatch, capsys):
    def cannot_be_installed(folder):
        raise Failed("there is no version of hume==0.13.6")

    monkeypatch.setattr(table, "Environment", cannot_be_installed)
    assert table.main(["hume"]) == 1
    _, line = capsys.readouterr().out.splitlines()
    assert line.startswith("hume==0.13.6 ")
    assert "can't be installed: there is no version of hume==0.13.6" in line


def test_an_sdk_that_is_not_there(capsys):
    with pytest.raises(SystemExit):
        table.main(["humus"])
    assert "deepgram-sdk, google-genai, homeassistant-api, hume, openai" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("without", "with_shim", "is_cured"),
    [
        (HANGS, (CLOSED, CLOSED), True),
        (CLOSED, (CLOSED, CLOSED), False),  # the bug wasn't reproduced
        (HANGS, (HANGS, CLOSED), False),
        (HANGS, (CLOSED, HANGS), False),
    ],
)
def test_what_is_promised(without, with_shim, is_cured):
    assert table.is_cured(without, *with_shim) is is_cured
