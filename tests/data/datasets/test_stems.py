"""Names that may be one person's: said where they are, never where a camera numbers its files."""

from __future__ import annotations

import pytest

from data.datasets.groups import assign_groups
from data.datasets.layouts.listing import REAL, Entry, label_of
from data.datasets.stems import shared_stems, stem_of, stem_warning


def entries(*paths: str, group: str = "") -> list[Entry]:
    found = []
    for path in paths:
        labels = [label for part in path.split("/") if (label := label_of(part)) is not None]
        found.append(Entry(path=path, label=labels[0] if labels else REAL, group=group))
    return found


def warned(*paths: str, group: str = "") -> str:
    """The warning of these videos; "" for none."""
    made = entries(*paths, group=group)
    lines = stem_warning(made, assign_groups(made, list(paths)))
    assert len(lines) <= 1
    return "".join(lines)


@pytest.mark.parametrize(
    "pattern",
    [
        "ann_{}", "ann-0{}", "ann ({})", "ann({})", "ann.part{}", "ann_part_{}", "Ann {}", "ann{}",
        "ann.{}", "ann_take{}", "ann v{}", "ann - copy ({})", "ann_{}_1080p", "ann_2024-01-0{}",
        "ann_happy_{}", "zoë {}", "李娜_{}", "x7f3_{}", "ann[{}]", "ann#{}", "interview-ann-{}",
        "ANN_00{}_fake", "ann+{}", "ann,{}", "s01_{}", "M003_front_happy_level_1_00{}",
    ],
)  # fmt: skip
def test_names_that_differ_by_a_number_share_a_stem(pattern: str) -> None:
    names = [f"real/{pattern.format(number)}.mp4" for number in range(1, 4)]
    told = warned(*names)
    assert "3 videos" in told
    assert "3 people" in told
    assert all(name.removeprefix("real/") in told for name in names)
    assert "--group-by stem" in told
    assert "column group" in told


@pytest.mark.parametrize(
    "pattern",
    [
        "000{}", "IMG_000{}", "VID_20200101_12000{}", "2020010{}_120000", "DSC_010{}", "MVI_123{}",
        "GOPR000{}", "GH01000{}", "PXL_20200101_12000012{}", "IMG-20200101-WA000{}", "C000{}",
        "Screen Recording 2024-01-02 at 10.33.1{}", "WhatsApp Video 2020-01-01 at 12.00.0{}",
        "video_{}", "clip{}", "real_{}", "real0{}", "person_00{}", "subject {}", "s0{}", "a_{}",
        "id{}_0000",
        "p{}", "00{}_00{}", "videoplayback ({})", "dji_fly_20240101_12000{}_000{}_video",
        "{}_happy", "3fa9c{}", "take {}", "untitled-{}",
        "frame_00{}", "part{}", "100{}_DFA_ANG_XX", "signal-2020-01-01-12000{}", "1080p_{}",
    ],
)  # fmt: skip
def test_numbers_of_cameras_and_codes_of_people_are_no_stem(pattern: str) -> None:
    assert not warned(*(f"real/{pattern.replace('{}', str(number))}.mp4" for number in range(4)))


def test_it_says_how_many_and_shows_some() -> None:
    names = [
        f"real/{who}_{number}.mp4" for who in ("ann", "bob", "cem", "dan") for number in range(10)
    ]
    told = warned(*names, "real/eve.mp4", *(name.replace("real", "fake") for name in names))
    assert told.startswith("80 videos whose names differ by a number alone count as 40 people: ")
    assert "ann_0.mp4, ann_1.mp4, ann_2.mp4 and 7 more; bob_0.mp4" in told
    assert "dan_0" not in told
    assert "and 1 more such names" in told


def test_who_is_known_is_not_guessed_at() -> None:
    assert not warned("real/ann_0.mp4", "real/ann_1.mp4", group="ann")
    people = [f"real/p{person}/talk_{take}.mp4" for person in "abcdef" for take in range(2)]
    assert not warned(*people), "a folder for each person"
    assert not warned("real/id07_1.mp4", "real/id07_2.mp4"), "one group already"


def test_forgeries_that_share_their_method_are_no_stem() -> None:
    reals = [f"real/{number:04}.mp4" for number in range(5)]
    assert not warned(*reals, *(f"fake/swap_{number:04}.mp4" for number in range(5)))
    assert not warned("real/ann.mp4", "real/bob.mp4", "fake/fsgan_1.mp4", "fake/fsgan_2.mp4")
    assert warned("real/ann_0.mp4", "fake/ann_1.mp4"), "but a real person's name is one"


def test_a_name_without_a_number_belongs_to_those_with_one() -> None:
    assert stem_of("ann") == ("ann", False)
    assert warned("real/ann.mp4", "real/ann (2).mp4")
    assert not warned("real/ann.mp4", "real/anna.mp4", "real/bob.mp4")
    assert list(shared_stems(entries("real/ann.mp4", "real/ann_2.mp4", "real/bob.mp4"))) == ["ann"]
