"""Who holds websockets back, found in the metadata of installed distributions."""

from __future__ import annotations

import sys

import packaging.requirements  # so that it is there when sys.path is gone
import packaging.utils
import packaging.version  # noqa: F401
import pytest

from websockets_closefix._commands import held_back


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Make distributions that exist by their metadata alone the only ones there are."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    def install(name, *requirements, version="1.2", extras=()):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")

    return install


def holding_back():
    return [tuple(each.values()) for each in held_back.holding_back("14.2")]


def test_nothing_is_installed(install):
    assert holding_back() == []


@pytest.mark.parametrize(
    "specifier",
    [
        "<14",
        "<14.2",
        "<=14.1",
        "==14.1",
        "==14.1.*",
        "~=13.0",
        "<14.2,>=13",
        ">=13.1,!=14.2,<15",
        ">14.2,<14.3",
        "===14.1",
    ],
)
def test_what_allows_no_fixed_release(install, specifier):
    install("vendor-sdk", "certifi", f"websockets{specifier}")
    assert holding_back() == [("vendor-sdk", "1.2", f"websockets{specifier}")]


@pytest.mark.parametrize(
    "specifier",
    [
        "",
        ">=13",
        "<15",
        "<=14.2",
        ">=13,<16",
        ">14.2,<16",
        "~=14.1",
        "==14.2",
        "==14.2.*",
        "==15.*",
        "==18.7.1",
        "!=14.2",
        ">=14.2.dev1",
        "===15.0.1",
    ],
)
def test_what_allows_one(install, specifier):
    install("vendor-sdk", f"websockets{specifier}")
    assert holding_back() == []


def test_the_requirement_is_quoted_as_it_was_written(install):
    install("vendor-sdk", "WebSockets (<14,>=13) ; python_version >= '3'")
    assert holding_back() == [
        ("vendor-sdk", "1.2", "WebSockets (<14,>=13) ; python_version >= '3'")
    ]


def test_other_machines_do_not_count(install):
    install("vendor-sdk", "websockets<14; python_version < '3'", "websockets-extras<1")
    assert holding_back() == []


def test_an_extra_counts_since_nobody_knows_whether_it_was_asked_for(install):
    install("vendor-sdk", 'websockets<14; extra == "live"', extras=["live"])
    assert [name for name, *_ in holding_back()] == ["vendor-sdk"]


def test_each_distribution_once_and_in_order(install):
    install("vendor-b", "websockets<14")
    install("vendor-a", "websockets<14", "websockets<13")
    assert [(name, text) for name, _, text in holding_back()] == [
        ("vendor-a", "websockets<13"),
        ("vendor-a", "websockets<14"),
        ("vendor-b", "websockets<14"),
    ]


def test_this_package_does_not_accuse_itself(install):
    """Its own tests want 14.1."""
    install("websockets-closefix", 'websockets==14.1; extra == "test"', extras=["test"])
    assert holding_back() == []


def test_requirements_that_cannot_be_read_are_passed_over(install):
    install("old", "websockets (>=1.0, <14", "websockets<14")
    install("older")
    assert holding_back() == [("old", "1.2", "websockets<14")]


def test_without_packaging(install, monkeypatch):
    install("vendor-sdk", "websockets<14")
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    assert held_back.holding_back("14.2") is None


def test_packaging_is_imported_by_nothing_else(python):
    result = python(
        "import sys, websockets_closefix\n"
        "from websockets_closefix._commands import command_line\n"
        "websockets_closefix.apply(strict=True)\n"
        "print('packaging' in sys.modules)"
    )
    assert result.stdout == "False\n"
