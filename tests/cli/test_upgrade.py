"""Where websockets can go, by the metadata of the installed distributions."""

from __future__ import annotations

import json
import sys

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from websockets_closefix._cli import upgrade

# As far as they have websockets.sync: with the first Python that they run on, and without flaws?
RELEASES = {
    **dict.fromkeys(["11.0", "11.0.3", "12.0", "13.0.1", "13.1"], ((3, 7), False)),
    **dict.fromkeys(["14.0", "14.1"], ((3, 9), False)),
    "14.2": ((3, 9), True),
    **dict.fromkeys(["15.0", "15.0.1"], ((3, 9), False)),
    **dict.fromkeys(["16.0", "16.1", "16.1.1"], ((3, 10), True)),
    **dict.fromkeys(["17.0", "17.0.1", "17.1", "17.2", "17.3", "17.4"], ((3, 11), True)),
    **dict.fromkeys(["17.9", "18.0", "18.7.1", "19.0"], ((3, 11), True)),  # some day
}


@pytest.fixture
def site_packages(tmp_path, monkeypatch):
    """Make distributions that exist by their metadata alone the only ones there are."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


@pytest.fixture
def install(site_packages):
    def install(name, *requirements, version="1.2", extras=(), folder=site_packages):
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        return info

    return install


@pytest.fixture
def on_python(monkeypatch):
    def on_python(*version):
        monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))

    return on_python


@pytest.fixture(autouse=True)
def _on_a_python_for_every_release(on_python):
    on_python(3, 13)


def goes_to(installed="14.1"):
    return upgrade.examine(installed).to


def held_back_by(installed="14.1"):
    found = upgrade.examine(installed)
    assert found.to is None
    return [tuple(each) for each in found.held_back_by]


@pytest.mark.parametrize(
    ("specifiers", "to"),
    [
        ([], "websockets>=16"),
        ([">=13"], "websockets>=16"),
        ([">=13", "<18"], "websockets>=16,<18"),
        (["<17,>=13.1"], "websockets>=16,<17"),
        (["!=14.2"], "websockets>=16"),
        (["!=16.1,<17"], "websockets>=16,<17,!=16.1"),
        ([">=17.1"], "websockets>=17.1"),
        (["~=16.1"], "websockets~=16.1"),
        (["==16.*"], "websockets==16.*"),
        (["==18.7.1"], "websockets==18.7.1"),
        (["===17.1"], "websockets===17.1"),
        (["<15,>=14.1"], "websockets>=14.2,<15"),
        (["<16"], "websockets>=14.2,<15"),
        (["<16", ">=13,!=15.0"], "websockets>=14.2,<15"),
        (["~=14.1"], "websockets>=14.2,<15"),
        (["==14.2"], "websockets==14.2"),
        (["<=14.2"], "websockets==14.2"),
        (["<14.3"], "websockets==14.2"),
        (["===14.2"], "websockets==14.2"),
    ],
)
def test_the_intersection_of_what_is_installed_and_what_is_clean(install, specifiers, to):
    for number, specifier in enumerate(specifiers):
        install(f"sdk-{number}", f"websockets{specifier}")
    assert goes_to() == to


def test_who_allows_no_later_release_is_named_all_the_same(install):
    install("sdk-a", "websockets<15,>=13")
    install("sdk-b", "websockets>=10")
    assert goes_to() == "websockets>=14.2,<15"
    assert [each.name for each in upgrade.examine("14.1").held_back_by] == ["sdk-a"]


@pytest.mark.parametrize("python", [(3, 9), (3, 10), (3, 11)])
@pytest.mark.parametrize("first", ["", ">=13", "<18,>=14", "!=16.1", "<16", "<=14.2", "~=14.1"])
@pytest.mark.parametrize(
    "second", ["", "<17", ">=16", ">=17", "!=14.2", "==14.*", ">14.2,<16", ">=16.1,!=17.*", "<14"]
)
def test_whatever_satisfies_it_is_clean_and_allowed_and_runs(
    install, on_python, python, first, second
):
    """Which pip would install, and pip check would pass, of all the releases there are."""
    on_python(*python)
    install("sdk-1", f"websockets{first}")
    install("sdk-2", f"websockets{second}")
    allowed = [
        release
        for release, (first_python, is_clean) in RELEASES.items()
        if is_clean and python >= first_python
        if SpecifierSet(first).contains(release) and SpecifierSet(second).contains(release)
    ]
    to = goes_to()
    if not allowed:
        assert to is None
        return
    specifier = Requirement(to).specifier
    satisfying = [
        release
        for release, (first_python, _) in RELEASES.items()
        if python >= first_python and specifier.contains(release)
    ]
    assert satisfying
    assert set(satisfying) <= set(allowed)


def test_python_3_9_never_gets_16(on_python, install):
    on_python(3, 9)
    assert goes_to() == "websockets>=14.2,<15"
    install("sdk", "websockets>=15")
    assert held_back_by("15.0.1") == [("sdk", "1.2", "websockets>=15")]


@pytest.mark.parametrize(
    "specifier",
    ["<14", "<=14.1", "==14.1", "==14.1.*", "~=13.0", "<15,!=14.2", ">14.2,<16", "===14.1"],
)
def test_what_allows_no_clean_release(install, specifier):
    install("certifi")
    install("harmless-sdk", "websockets<18")
    install("vendor-sdk", "certifi", f"websockets{specifier}")
    assert held_back_by() == [("vendor-sdk", "1.2", f"websockets{specifier}")]


def test_those_who_allow_one_each_but_none_together(install):
    install("sdk-a", "websockets<16")
    install("sdk-b", "websockets>=15")
    install("sdk-c", "websockets>=13")
    assert [name for name, *_ in held_back_by("15.0.1")] == ["sdk-a", "sdk-b"]


def test_the_requirement_is_quoted_as_it_was_written(install):
    install("vendor-sdk", "WebSockets (<14,>=13) ; python_version >= '3'")
    assert held_back_by() == [
        ("vendor-sdk", "1.2", "WebSockets (<14,>=13) ; python_version >= '3'")
    ]


def test_other_machines_do_not_count(install):
    install("vendor-sdk", "websockets<14; python_version < '3'", "websockets-extras<1")
    assert goes_to() == "websockets>=16"


class TestExtras:
    """Metadata don't tell whether an extra was asked for; the installed release may."""

    def test_one_that_the_installed_release_violates_was_not_asked_for(self, install):
        install(
            "gql",
            'websockets<12,>=10; extra == "websockets"',
            'websockets<12,>=10; extra == "all"',
            extras=["websockets", "all"],
        )
        assert goes_to("14.1") == "websockets>=16"

    def test_one_that_it_satisfies_may_have_been_asked_for(self, install):
        install("openai", 'websockets<16,>=13; extra == "realtime"', extras=["realtime"])
        assert goes_to("15.0.1") == "websockets>=14.2,<15"

    def test_what_is_required_without_an_extra_counts_even_if_violated(self, install):
        install("sdk", "websockets<14")
        assert held_back_by("14.1") == [("sdk", "1.2", "websockets<14")]


class TestAddresses:
    """``websockets @ https://...`` allows that and nothing else."""

    def test_a_requirement(self, install):
        text = "websockets @ https://example.com/websockets-14.1.tar.gz"
        install("sdk", text)
        assert held_back_by() == [("sdk", "1.2", text)]

    def test_a_requirement_of_an_extra_that_was_not_asked_for(self, install):
        install("sdk", 'websockets @ https://example.com/x.tar.gz ; extra == "x"', extras=["x"])
        assert goes_to() == "websockets>=16"

    def test_websockets_itself(self, install):
        info = install("websockets", version="14.1")
        assert goes_to() == "websockets>=16"
        url = {"url": "https://example.com/fork.git", "vcs_info": {"vcs": "git"}}
        for from_file in ({"dir_info": {}}, {"archive_info": {}}):  # conda; a wheelhouse
            text = json.dumps({"url": "file:///home/x", **from_file})
            (info / "direct_url.json").write_text(text)
            assert goes_to() == "websockets>=16"
        (info / "direct_url.json").write_text(json.dumps(url))
        assert held_back_by() == [
            ("websockets", "14.1", "websockets @ https://example.com/fork.git")
        ]


def test_each_distribution_once_and_in_order(install):
    install("vendor-b", "websockets<14")
    install("vendor-a", "websockets<14", "websockets<13", "websockets<14")
    assert [(name, text) for name, _, text in held_back_by()] == [
        ("vendor-a", "websockets<13"),
        ("vendor-a", "websockets<14"),
        ("vendor-b", "websockets<14"),
    ]


def test_a_distribution_that_another_one_hides_does_not_count(install, site_packages, monkeypatch):
    below = site_packages / "below"
    monkeypatch.setattr(sys, "path", [str(site_packages), str(below)])
    install("Vendor.SDK", version="2")
    install("vendor_sdk", "websockets<14", folder=below)
    assert goes_to() == "websockets>=16"


def test_this_package_does_not_accuse_itself(install):
    """Its own tests want 14.1."""
    install("websockets-closefix", 'websockets==14.1; extra == "test"', extras=["test"])
    assert goes_to() == "websockets>=16"


def test_requirements_that_cannot_be_read_are_passed_over(install):
    install("old", "websockets (>=1.0, <14", "websockets<14", "websockets-extra >", "certifi >")
    assert held_back_by() == [("old", "1.2", "websockets<14")]
    assert upgrade.examine("14.1").unreadable == [
        "old 1.2: websockets (>=1.0, <14, which can't be read"
    ]


def test_a_distribution_that_cannot_be_read_costs_its_own_line(install):
    """A METADATA in latin-1, a name that is missing, a marker that nobody can evaluate."""
    info = install("broken")
    (info / "METADATA").write_bytes("Name: broken\nAuthor: Jürgen\n".encode("latin-1"))
    install("odd", "websockets<13; python_version >= 'x' and platform_release > '1.0-odd!'")
    install("vendor-sdk", "websockets<14")
    found = upgrade.examine("14.1")
    assert [holder.name for holder in found.held_back_by][-1] == "vendor-sdk"
    [line] = [line for line in found.unreadable if "broken-1.2.dist-info" in line]
    assert line.endswith("which can't be read (UnicodeDecodeError)")


def test_without_packaging(install, monkeypatch):
    install("vendor-sdk", "websockets<14")
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    assert upgrade.examine("14.1") == (None, None, [])


def test_packaging_is_imported_by_nothing_else(python):
    result = python(
        "import sys, websockets_closefix\n"
        "from websockets_closefix._cli import command_line\n"
        "websockets_closefix.apply(strict=True)\n"
        "print('packaging' in sys.modules)"
    )
    assert result.stdout == "False\n"
