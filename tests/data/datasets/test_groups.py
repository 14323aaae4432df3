"""Groups: no likely partner is ever on the other side, and strangers stay apart."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from data.datasets.groups import assign_groups
from data.datasets.layouts.listing import REAL, Entry, label_of


def entry(path: str, group: str = "") -> Entry:
    labels = [label for part in path.split("/") if (label := label_of(part)) is not None]
    return Entry(path=path, label=labels[0] if labels else REAL, group=group)


def grouped(*entries: str | Entry, same: tuple[str, ...] = ()) -> list[set[str]]:
    """The groups as sets of paths; files of `same` have equal bytes."""
    made = [entry(one) if isinstance(one, str) else one for one in entries]
    digests = [
        hashlib.sha256(b"same" if one.path in same else one.path.encode()).hexdigest()
        for one in made
    ]
    groups = assign_groups(made, digests)
    sets: dict[str, set[str]] = {}
    for one, group in zip(made, groups, strict=True):
        sets.setdefault(group, set()).add(one.path)
    return sorted(sets.values(), key=min)


def together(*entries: str) -> bool:
    return len(grouped(*entries)) == 1


def test_names_that_differ_by_the_label_only_go_together() -> None:
    assert together("real/ann.mp4", "fake/ann.mp4", "fake/Ann_fake.avi", "fake/deepfake-ann.mp4")
    assert together("real/real7.mp4", "fake/fake_007.mp4")
    assert together("real/ann (1).mp4", "fake/method/ann_1.mp4")
    assert together("real/Zoe\u0308.mp4", "fake/zo\u00eb_fake.mp4")  # two ways to write one letter


def test_targets_and_sources_go_together() -> None:
    assert together("real/000.mp4", "real/003.mp4", "fake/000_003.mp4")
    assert together("real/ann.mp4", "real/bob.mp4", "fake/ann_to_bob.mp4", "fake/bob_ann_2.mp4")
    assert together("fake/a/000_003.mp4", "fake/b/003_010.mp4")  # the reals are not there yet
    assert together("real/000.mp4", "fake/000_003.mp4", "fake/003_010.mp4")
    assert together("real/id0_0000.mp4", "real/id0_0001.mp4", "fake/id0_id16_0000.mp4")
    assert together("real/person_03 a.mp4", "real/b Person3.mp4")


def test_a_number_that_one_real_name_has_makes_a_pair() -> None:
    assert grouped("real/video_12.mp4", "real/video_13.mp4", "fake/swap12_12.mp4") == [
        {"fake/swap12_12.mp4", "real/video_12.mp4"},
        {"real/video_13.mp4"},
    ]
    # A number of many is none's.
    assert len(grouped("real/a_2019.mp4", "real/b_2019.mp4", "fake/c_2019.mp4")) == 3


def test_strangers_stay_apart() -> None:
    paths = [f"{label}/{name}.mp4" for name in ("ann", "bob", "12", "13") for label in ("real",)]
    assert len(grouped(*paths, "fake/cyd.mp4", "fake/fake.mp4", "real/real.mp4")) == 7


def test_takes_named_by_two_numbers_are_not_all_one() -> None:
    paths = [f"real/{person}_{take}.mp4" for person in (1, 2, 3) for take in (1, 2)]
    fakes = [f"fake/{person}_{take}.mp4" for person in (1, 2, 3) for take in (1, 2)]
    assert len(grouped(*paths, *fakes)) == 6


def test_folders_of_people_are_people() -> None:
    people = ["ann", "bob", "cyd", "dan", "eve"]
    reals = [f"real/videos/{name}/{take}.mp4" for name in people for take in (1, 2)]
    fakes = [f"fake/swap/{name}/1.mp4" for name in people]
    groups = grouped(*reals, *fakes, "fake/other/bob_3.mp4")
    assert len(groups) == 5
    for group in groups:
        assert len({name for name in people for path in group if name in path}) == 1
    bob = next(group for group in groups if "real/videos/bob/1.mp4" in group)
    assert "fake/other/bob_3.mp4" in bob


def test_folders_with_ids_are_people_however_few() -> None:
    groups = grouped("real/id01/a.mp4", "real/id1/b.mp4", "real/id2/a_1.mp4", "fake/id2/c.mp4")
    assert groups == [
        {"fake/id2/c.mp4", "real/id2/a_1.mp4"},
        {"real/id01/a.mp4", "real/id1/b.mp4"},
    ]


def test_a_few_folders_are_collections() -> None:
    reals = [f"real/{folder}/{folder}{n}.mp4" for folder in ("tv", "web") for n in range(4)]
    assert len(grouped(*reals)) == 8


def test_equal_files_go_together_whatever_they_are_called() -> None:
    same = ("real/x.mp4", "real/y.mp4")
    assert {*same} in grouped(*same, "real/z.mp4", same=same)
    made = [entry("real/x.mp4", "ann"), entry("real/y.mp4", "bob")]
    assert len(grouped(*made, same=same)) == 1


def test_the_data_sets_own_groups_are_taken_as_they_are() -> None:
    made = [entry("real/1.mp4", "Ann"), entry("fake/2.mp4", "Ann"), entry("real/2.mp4", "ann")]
    assert assign_groups(made, ["a", "b", "c"]) == ["Ann", "Ann", "ann"]
    # A file without a group, but with the name of one, belongs to it.
    made = [entry("real/1.mp4", "ann"), entry("fake/ann.mp4")]
    assert assign_groups(made, ["a", "b"]) == ["ann", "ann"]


def test_groups_have_readable_names_of_their_own() -> None:
    made = [entry("fake/a/fake.mp4"), entry("fake/b/fake.mp4"), entry("real/real.mp4")]
    assert assign_groups(made, ["a", "b", "c"]) == [one.path for one in made]
    made = [entry("real/000.mp4"), entry("fake/000_003.mp4"), entry("real/003.mp4")]
    assert assign_groups(made, ["a", "b", "c"]) == ["000"] * 3


NAMES = st.text("ab01_/ ", min_size=1, max_size=8).map(lambda name: f"{name}.mp4")
PATHS = st.builds(lambda label, name: f"{label}/{name}", st.sampled_from(["real", "fake"]), NAMES)


@given(paths=st.lists(PATHS, min_size=1, max_size=12, unique=True), draw=st.randoms())
def test_groups_do_not_depend_on_the_order(paths: list[str], draw) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(paths)
    draw.shuffle(shuffled)
    assert grouped(*shuffled) == grouped(*paths)
    names = dict(zip(paths, assign_groups([entry(p) for p in paths], paths), strict=True))
    again = assign_groups([entry(path) for path in shuffled], shuffled)
    assert dict(zip(shuffled, again, strict=True)) == names


@given(paths=st.lists(PATHS, min_size=1, max_size=12, unique=True))
def test_a_real_and_its_namesake_are_never_parted(paths: list[str]) -> None:
    paths = [path for path in paths if "/" not in path.split("/", 1)[1]]
    made = [entry(path) for path in paths]
    groups = dict(zip(paths, assign_groups(made, paths), strict=True))
    for path in paths:
        twin = path.replace("real/", "fake/")
        if twin in groups:
            assert groups[twin] == groups[path]
