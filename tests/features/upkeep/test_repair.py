"""Repair: what is intact is kept, bit for bit; what is lost is named; a kill changes neither."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import LockedError, OutputError, StoreError
from features.store.adopt import adopt_feature_set
from features.store.feature_set import INDEX, Features
from features.store.key import Recipe
from features.store.preamble import read_preamble
from features.store.shard import Shard
from features.store.store import FeatureStore
from features.store.verify import verify
from features.upkeep.repair import FileRepair
from features.upkeep.repair import repair as repair_folder
from tests.features.conftest import digest_of, make_recipe, make_sequence
from tests.features.crash import killed_at
from tests.features.stores import NAME_OF, NAMES, damage, fill_store, held, publish_to, sealed


def repair(folder: Path, *, dry_run: bool = False) -> list[FileRepair]:
    return list(repair_folder(folder, dry_run=dry_run).files)


def row_of(path: Path, number: int, name: str = "features") -> int:
    """A byte of this video's rows."""
    shard = Shard(path)
    place, nbytes = read_preamble(path).rows[name]
    return place + nbytes // int(shard.offsets[-1]) * int(shard.offsets[number])


@pytest.fixture
def store(tmp_path: Path, recipe: Recipe) -> Path:
    """Four videos or more in the largest of its shards."""
    fill_store(tmp_path / "store", recipe, shard_bytes=600)
    return tmp_path / "store"


@pytest.fixture
def largest(store: Path) -> Path:
    return max(sealed(store), key=lambda path: len(Shard(path)))


@pytest.mark.parametrize("name", ["features", "timestamps_seconds", "boxes", "face_found"])
def test_damaged_rows_cost_one_video(store: Path, largest: Path, recipe: Recipe, name: str) -> None:
    before = Shard(largest)
    assert len(before) >= 4
    damage(largest, row_of(largest, 1, name))
    hit = Path(before.paths[1]).stem
    (planned,) = repair(store, dry_run=True)
    assert largest.exists()
    (repaired,) = repair(store)
    assert (repaired.action, repaired.kept, repaired.unnamed) == ("rescued", len(before) - 1, 0)
    assert (planned.action, planned.kept, planned.lost) == ("rescued", repaired.kept, repaired.lost)
    assert [(one.path, one.sha256) for one in repaired.lost] == [
        (f"videos/{hit}.mp4", digest_of(hit))
    ]
    assert not largest.exists()
    assert verify(store) == []
    assert held(store, recipe) == set(NAMES) - {hit}
    assert repaired.new_file is not None
    after = Shard(repaired.new_file)
    assert after.paths == tuple(path for n, path in enumerate(before.paths) if n != 1)
    assert after.versions == before.versions
    assert oct(after.path.stat().st_mode)[-3:] == "444"
    assert repair(store) == []


def test_the_rescued_shard_is_a_shard_like_any_other(
    store: Path, largest: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """The same bytes as those of a run that never had the lost video."""
    names = [Path(path).stem for path in Shard(largest).paths]
    damage(largest, row_of(largest, 0))
    (repaired,) = repair(store)
    (wanted,) = fill_store(tmp_path / "other", recipe, names[1:], shard_bytes=10**6)
    assert repaired.new_file == largest.with_name(wanted.path.name)


def test_what_was_lost_is_embedded_anew(store: Path, largest: Path, recipe: Recipe) -> None:
    damage(largest, row_of(largest, 1), row_of(largest, 2))
    repair(store)
    with FeatureStore(store, recipe, versions={}) as opened:
        missing = [name for name in NAMES if not opened.has(make_sequence(name, recipe).key)]
    assert len(missing) == 2
    fill_store(store, recipe)
    assert held(store, recipe) == set(NAMES)
    assert verify(store) == []


@pytest.mark.parametrize("at", [3, 100, 300, 500, 520, 600, -1])
def test_nothing_is_kept_of_a_shard_whose_header_is_damaged(
    store: Path, largest: Path, recipe: Recipe, at: int
) -> None:
    gone = {Path(path).stem for path in Shard(largest).paths}
    damage(largest, at)
    (repaired,) = repair(store)
    assert (repaired.action, repaired.kept, repaired.lost, repaired.unnamed) == (
        "removed",
        0,
        (),
        None,
    )
    assert verify(store) == []
    assert held(store, recipe) == set(NAMES) - gone
    fill_store(store, recipe)
    assert held(store, recipe) == set(NAMES)


def test_a_cut_off_shard_goes_and_its_videos_come_back(
    store: Path, largest: Path, recipe: Recipe
) -> None:
    gone = {Path(path).stem for path in Shard(largest).paths}
    damage(largest, cut=-300)
    (repaired,) = repair(store)
    assert (repaired.action, repaired.kept, repaired.lost, repaired.unnamed) == (
        "removed",
        0,
        (),
        None,
    )
    assert verify(store) == []
    assert held(store, recipe) == set(NAMES) - gone
    fill_store(store, recipe)
    assert held(store, recipe) == set(NAMES)


FRACTION = st.floats(0, 1, exclude_max=True)


@given(
    st.dictionaries(
        st.integers(0, 2),
        st.tuples(st.sets(FRACTION, max_size=3), st.none() | FRACTION),
        min_size=1,
    )
)
@settings(max_examples=12, deadline=None)
def test_whatever_is_flipped_the_rest_survives(
    tmp_path_factory: pytest.TempPathFactory, damages: dict[int, tuple[set[float], float | None]]
) -> None:
    """Of each damaged shard: which, which bytes are flipped, and where it is cut off."""
    recipe, root = make_recipe(), tmp_path_factory.mktemp("flips")
    fill_store(root, recipe, shard_bytes=600)
    paths = sealed(root)
    hit: set[str] = set()
    for which, (parts, rest) in damages.items():
        path = paths[which]
        shard, rows, size = Shard(path), read_preamble(path).rows, path.stat().st_size
        videos = {Path(one).stem for one in shard.paths}
        flips = {int(part * size) for part in parts}
        cut = None if rest is None else int(rest * size)
        damage(path, *flips, cut=cut)
        for number, video in enumerate(shard.paths):
            part = shard.offsets[number : number + 2]
            for place, nbytes in rows.values():
                one = nbytes // int(shard.offsets[-1])
                if any(place + one * part[0] <= at < place + one * part[1] for at in flips):
                    hit.add(Path(video).stem)
        in_rows = [at for at in flips if any(p <= at < p + n for p, n in rows.values())]
        if cut is not None or len(in_rows) < len(flips):
            hit |= videos  # nothing is kept of a shard whose header is damaged
    repaired = repair(root)
    assert set(NAMES) - held(root, recipe) == hit
    assert verify(root) == []
    assert {NAME_OF[lost.sha256] for one in repaired for lost in one.lost} <= hit
    assert repair(root) == []


def test_what_is_not_ours_to_mend_is_left(
    store: Path, largest: Path, recipe: Recipe, tmp_path: Path
) -> None:
    (foreign,) = fill_store(
        tmp_path / "other", make_recipe(backbone_digest="cd" * 32), NAMES[:3], shard_bytes=10**6
    )
    shutil.copy(foreign.path, largest.parent)
    later = largest.with_name(f"shard-{'0' * 64}.h5")
    later.write_bytes(largest.read_bytes().replace(b'"version":1', b'"version":9', 1))
    before = sorted(path.name for path in sealed(store))
    repaired = repair(store)
    assert {(one.file.name, one.action, one.kept) for one in repaired} == {
        (foreign.path.name, "left", 0),
        (later.name, "left", 0),
    }
    assert sorted(path.name for path in sealed(store)) == before


def test_damaged_staging_is_named_and_removed(tmp_path: Path, recipe: Recipe) -> None:
    with FeatureStore(tmp_path, recipe, versions={}) as opened:
        for name in NAMES[:3]:
            opened.stage(make_sequence(name, recipe))
        folder = opened.folder
    flipped, cut, whole = sorted(folder.glob("staging/*"))
    lost = Shard(flipped).paths[0]
    damage(flipped, row_of(flipped, 0))
    damage(cut, cut=1000)
    (folder / "staging" / f".{'1' * 64}").write_text("half")
    (folder / "staging" / "notes.txt").write_text("not ours to remove")
    one, two = repair(tmp_path)
    assert [video.path for video in one.lost] == [lost]
    assert (one.action, two.action, two.unnamed) == ("removed", "removed", None)
    assert sorted(folder.glob("staging/*")) == [whole, folder / "staging" / "notes.txt"]


def test_the_lock_is_held_but_not_in_a_dry_run(store: Path, largest: Path, recipe: Recipe) -> None:
    damage(largest, 600)
    with FeatureStore(store, recipe, versions={}):
        assert len(repair(store, dry_run=True)) == 1
        with pytest.raises(LockedError):
            repair(store)


def test_killed_at_any_step_nothing_intact_is_lost(tmp_path: Path, recipe: Recipe) -> None:
    fill_store(tmp_path / "model", recipe, shard_bytes=600)
    one, two, *_ = sorted(sealed(tmp_path / "model"), key=lambda path: -len(Shard(path)))
    damage(one, row_of(one, 1))
    damage(two, 100)
    before = held(tmp_path / "model", recipe)
    shutil.copytree(tmp_path / "model", tmp_path / "plain")
    repair(tmp_path / "plain")
    wanted = [path.name for path in sealed(tmp_path / "plain")]
    for step in range(100):
        work = tmp_path / f"work-{step}"
        shutil.copytree(tmp_path / "model", work)
        with killed_at(step) as ended:
            repair(work)
        assert before <= held(work, recipe)
        repair(work)
        assert [path.name for path in sealed(work)] == wanted
        assert verify(work) == []
        if not ended():
            break
    assert 5 < step < 99


@pytest.fixture
def published(tmp_path: Path, store: Path, recipe: Recipe) -> Path:
    out = publish_to(tmp_path / "features", fill_store(store, recipe))
    (out / "backbone" / "deep").mkdir(parents=True)
    (out / "backbone" / "deep" / "weights").write_text("weights")
    return out


def test_a_published_folder_is_repaired(published: Path, recipe: Recipe) -> None:
    rescued, removed, *_ = sorted(published.glob("*.h5"), key=lambda path: -len(Shard(path)))
    count = len(Shard(removed))
    before = Features(published)
    hit = Shard(rescued).paths[0]
    damage(rescued, row_of(rescued, 0))
    removed.unlink()
    planned = repair(published, dry_run=True)
    assert [one.action for one in planned] != []
    assert len(verify(published)) == 3
    repaired = {one.file.name: one for one in repair(published)}
    assert [video.path for video in repaired[rescued.name].lost] == [hit]
    assert (repaired[removed.name].action, repaired[removed.name].unnamed) == ("removed", count)
    assert verify(published) == []
    after = Features(published)
    assert len(after) == len(before) - 1 - count
    assert (after.recipe, after.dim, after.provenance) == (
        before.recipe,
        before.dim,
        before.provenance,
    )
    for sha256 in after.sha256s:
        name = Path(after.sequence(sha256).path).stem
        assert after.sequence(sha256).crc32() == make_sequence(name, recipe).crc32()
    assert (published / "backbone" / "deep" / "weights").read_text() == "weights"
    assert sorted(path.name for path in published.parent.iterdir()) == ["features", "store"]
    assert repair(published) == []


def test_a_foreign_shard_of_a_feature_set_is_left(published: Path, tmp_path: Path) -> None:
    one = min(published.glob("*.h5"))
    other = fill_store(tmp_path / "other", make_recipe(backbone_digest="cd" * 32))[0].path
    one.unlink()
    shutil.copy(other, one)
    assert [repaired.action for repaired in repair(published)] == ["left"]
    assert one.read_bytes() == other.read_bytes()
    one.rename(tmp_path / one.name)
    assert [repaired.action for repaired in repair(published)] == ["removed"]
    assert verify(published) == []


def test_videos_that_a_feature_set_still_has_are_not_lost(
    published: Path, store: Path, recipe: Recipe
) -> None:
    """`extract` takes over from the feature set what the repaired store lacks."""
    damage(max(sealed(store)), cut=100)
    (repaired,) = repair(store)
    assert repaired.action == "removed"
    with FeatureStore(store, recipe, versions={}) as opened:
        adopt_feature_set(published, opened)
    assert held(store, recipe) == set(NAMES)


@pytest.mark.parametrize("reader", ["file_sha256", "Shard"])
def test_a_disk_that_fails_to_read_decides_nothing(
    store: Path, largest: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(f"features.upkeep.repair.{reader}", fail)
    assert {one.action for one in repair(store)} == {"left"}
    assert largest.exists()


def test_a_damaged_index_is_refused(published: Path) -> None:
    damage(published / INDEX, 50)
    with pytest.raises(StoreError, match="extract again"):
        repair(published)


def test_a_published_folder_killed_at_any_step_is_the_old_one_or_the_new_one(
    published: Path, tmp_path: Path
) -> None:
    one, *_ = sorted(published.glob("*.h5"), key=lambda path: -len(Shard(path)))
    damage(one, row_of(one, 0))
    problems = verify(published)
    for step in range(200):
        work = tmp_path / f"work-{step}" / "features"
        shutil.copytree(published, work)
        with killed_at(step) as ended:
            repair(work)
        assert verify(work) in (problems, [])
        repair(work)
        assert verify(work) == []
        if not ended():
            break
    assert 10 < step < 199


def test_a_folder_that_cannot_be_written_is_one_line(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    one = min(published.glob("*.h5"))
    damage(one, row_of(one, 0))
    problems = verify(published)
    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OutputError, match="No space left on device"):
        repair(published)
    assert verify(published) == problems
