"""The builder's own decisions: where Debian comes from, and which images stay."""

import os
from pathlib import Path

from tests.hardware.build import keep_newest
from tests.hardware.image.apt import as_stanza, offers

LINE = "deb [arch=amd64 signed-by=/keys/debian.gpg] http://mirror.example/debian trixie-updates main contrib"
OTHER = "Types: deb\nURIs: http://other.example/packages\nSuites: {}\nComponents: {}"


def test_a_one_line_source_says_the_same_as_a_stanza() -> None:
    assert as_stanza(LINE).splitlines() == [
        "Types: deb",
        "URIs: http://mirror.example/debian",
        "Suites: trixie-updates",
        "Components: main contrib",
        "Signed-By: /keys/debian.gpg",
    ]
    assert offers(as_stanza(LINE), "trixie")
    assert not offers(as_stanza(LINE), "bookworm")


def test_what_is_no_source_of_packages_gives_none() -> None:
    assert [as_stanza(line) for line in ("# deb http://a b c", "deb-src http://a b c", "", "deb http://a")] == [""] * 4
    assert not offers("", "trixie")


def test_archives_of_others_are_not_taken() -> None:
    assert offers(OTHER.format("trixie trixie-backports", "main"), "trixie")
    assert not offers(OTHER.format("trixie", "stable"), "trixie")
    assert not offers(OTHER.format("cloud-trixie", "main"), "trixie")


def test_the_images_used_last_stay(tmp_path: Path) -> None:
    for age, name in enumerate(("state-new", "state-mid", "state-old", "other-old")):
        made = tmp_path / name
        made.touch()
        os.utime(made, (1000 - age, 1000 - age))
    keep_newest(tmp_path, "state-*", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other-old", "state-mid", "state-new"]
