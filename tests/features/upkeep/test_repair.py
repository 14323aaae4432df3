"""Repair: what is intact is kept, bit for bit; what is lost is named; a kill changes neither."""

from __future__ import annotations

import os
import shutil
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import LockedError, OutputError, StoreError
from features.store.feature_set import INDEX, Features, verify
from features.store.key import Recipe
from features.store.layout import parts_of
from features.store.preamble import read_preamble
from features.store.shard import Shard
from features.store.store import FeatureStore
from features.upkeep import salvage
from features.upkeep.repair import Mending, repair_part
from features.upkeep.republish import repair_published
from tests.features.conftest import digest_of, make_recipe, make_sequence
from tests.features.crash import killed_at
from tests.features.stores import NAME_OF, NAMES, damage, fill_store, held, publish_to, sealed


def repair(store: Path, *copies: Path, dry_run: bool = False) -> list[Mending]:
    (part,) = parts_of(store)
    return repair_part(part, copies=copies, dry_run=dry_run)


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
    (mended,) = repair(store)
    assert (mended.action, mended.kept, mended.unnamed) == ("rescued", len(before) - 1, 0)
    assert (planned.action, planned.kept, planned.lost) == ("rescued", mended.kept, mended.lost)
    assert [(one.path, one.sha256) for one in mended.lost] == [
        (f"videos/{hit}.mp4", digest_of(hit))
    ]
    assert not largest.exists()
    assert verify(store) == []
    assert held(store, recipe) == set(NAMES) - {hit}
    assert mended.new_file is not None
    after = Shard(parts_of(store)[0] / mended.new_file)
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
    (mended,) = repair(store)
    (wanted,) = fill_store(tmp_path / "other", recipe, names[1:], shard_bytes=10**6)
    assert mended.new_file == f"shards/{wanted.path.name}"


def test_what_was_lost_is_embedded_anew(store: Path, largest: Path, recipe: Recipe) -> None:
    damage(largest, row_of(largest, 1), row_of(largest, 2))
    repair(store)
    with FeatureStore(store, recipe, versions={}) as opened:
        missing = [name for name in NAMES if not opened.has(make_sequence(name, recipe).key)]
    assert len(missing) == 2
    fill_store(store, recipe)
    assert held(store, recipe) == set(NAMES)
    assert verify(store) == []


@pytest.mark.parametrize("at", [3, 100, 300, 500])
def test_a_damaged_preamble_costs_nothing(
    store: Path, largest: Path, recipe: Recipe, at: int
) -> None:
    before = largest.read_bytes()
    damage(largest, at)
    (mended,) = repair(store)
    assert (mended.action, mended.lost) == ("rescued", ())
    assert largest.read_bytes() == before
    assert verify(store) == []
    assert held(store, recipe) == set(NAMES)


def test_a_cut_off_shard_goes_and_its_videos_come_back(
    store: Path, largest: Path, recipe: Recipe
) -> None:
    gone = {Path(path).stem for path in Shard(largest).paths}
    damage(largest, cut=-300)
    (mended,) = repair(store)
    assert (mended.action, mended.kept, mended.lost, mended.unnamed) == ("removed", 0, (), None)
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
            hit |= videos  # a header may be past help
    mendings = repair(root)
    assert set(NAMES) - held(root, recipe) <= hit
    assert verify(root) == []
    named = {NAME_OF.get(lost.sha256) for one in mendings for lost in one.lost} - {None}
    missing = set(NAMES) - held(root, recipe)
    # A digest that was flipped itself is named as it now reads, and its video comes back by it.
    assert named <= missing
    assert repair(root) == []


def test_most_flips_of_a_header_cost_one_video_or_none(tmp_path: Path, recipe: Recipe) -> None:
    """Most of what HDF5 parses are lists of digests: a flip there hits one video."""
    (whole,) = fill_store(tmp_path / "model", recipe, shard_bytes=10**6)
    rows = read_preamble(whole.path).rows.values()
    size = whole.path.stat().st_size
    header = [at for at in range(512, size) if not any(p <= at < p + n for p, n in rows)]
    lost = []
    for at in np.random.default_rng(3).choice(header, 10, replace=False):
        work = tmp_path / f"work-{at}"
        shutil.copytree(tmp_path / "model", work)
        damage(sealed(work)[0], int(at))
        repair(work)
        assert verify(work) == []
        lost.append(len(NAMES) - len(held(work, recipe)))
    assert sum(count <= 1 for count in lost) >= 5, lost


def test_an_intact_copy_elsewhere_is_better_than_a_rescue(
    store: Path, largest: Path, recipe: Recipe, tmp_path: Path
) -> None:
    whole = largest.read_bytes()
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    damage(largest, row_of(largest, 0))
    (mended,) = repair(store, tmp_path / "none", copy)
    assert (mended.action, mended.lost) == ("restored", ())
    assert largest.read_bytes() == whole
    damage(largest, cut=100)
    damage(copy / largest.relative_to(store), row_of(copy / largest.relative_to(store), 0))
    assert [one.action for one in repair(store, copy)] == ["removed"]


def test_a_copy_on_another_disk_is_copied(
    store: Path, largest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    whole = largest.read_bytes()
    shutil.copytree(store, tmp_path / "copy")
    damage(largest, cut=100)
    monkeypatch.setattr(os, "link", refuse)
    assert [one.action for one in repair(store, tmp_path / "copy")] == ["restored"]
    assert largest.read_bytes() == whole
    assert oct(largest.stat().st_mode)[-3:] == "444"


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
    mendings = repair(store)
    assert {(one.file.split("/")[1], one.action, one.kept) for one in mendings} == {
        (foreign.path.name, "left", 0),
        (later.name, "left", 0),
    }
    assert sorted(path.name for path in sealed(store)) == before


def test_a_disk_that_does_not_answer_decides_nothing(
    store: Path, largest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(largest, 600)
    monkeypatch.setattr(salvage, "TIMEOUT_SECONDS", 0.0)
    (mended,) = repair(store)
    assert mended.action == "left"
    assert "did not come back" in mended.message
    assert largest.exists()


def test_a_child_that_never_came_up_decides_nothing(
    store: Path, largest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine out of memory or processes must not cost a shard that can be rescued."""
    damage(largest, 600)
    monkeypatch.setattr(salvage, "_child", exit)
    (mended,) = repair(store)
    assert (mended.action, largest.exists()) == ("left", True)


def test_a_child_that_crashes_over_it_says_that_nothing_can_be_read(
    store: Path, largest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(largest, 600)
    monkeypatch.setattr(salvage, "_child", crash)
    assert [one.action for one in repair(store)] == ["removed"]
    assert verify(store) == []


def crash(pipe: Connection, _: Path) -> None:
    pipe.send(True)
    os.kill(os.getpid(), signal.SIGSEGV)


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


@pytest.mark.parametrize("with_copy", [False, True])
def test_killed_at_any_step_nothing_intact_is_lost(
    tmp_path: Path, recipe: Recipe, with_copy: bool
) -> None:
    fill_store(tmp_path / "model", recipe, shard_bytes=600)
    shutil.copytree(tmp_path / "model", tmp_path / "copy")
    copies = [tmp_path / "copy"] if with_copy else []
    one, two, *_ = sorted(sealed(tmp_path / "model"), key=lambda path: -len(Shard(path)))
    damage(one, row_of(one, 1))
    damage(two, 100)
    before = held(tmp_path / "model", recipe) | {Path(path).stem for path in Shard(one).paths[2:]}
    shutil.copytree(tmp_path / "model", tmp_path / "plain")
    repair(tmp_path / "plain", *copies)
    wanted = [path.name for path in sealed(tmp_path / "plain")]
    for step in range(100):
        work = tmp_path / f"work-{step}"
        shutil.copytree(tmp_path / "model", work)
        with killed_at(step) as ended:
            repair(work, *copies)
        assert before <= held(work, recipe)
        repair(work, *copies)
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
    planned = repair_published(published, dry_run=True)
    assert [one.action for one in planned] != []
    assert len(verify(published)) == 3
    mendings = {one.file: one for one in repair_published(published)}
    assert [video.path for video in mendings[rescued.name].lost] == [hit]
    assert (mendings[removed.name].action, mendings[removed.name].unnamed) == ("removed", count)
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
    assert repair_published(published) == []


def test_a_published_folder_is_restored_out_of_the_store(published: Path, store: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(published.glob("*.*"))}
    one, two, three, *_ = sorted(published.glob("*.h5"))
    damage(one, row_of(one, 0))
    damage(two, cut=20)
    three.unlink()
    assert [mended.action for mended in repair_published(published, copies=[store])] == [
        "restored"
    ] * 3
    assert {path: path.read_bytes() for path in sorted(published.glob("*.*"))} == before
    assert one.samefile(next(store.glob(f"*/shards/{one.name}")))


def test_a_foreign_shard_stays_but_is_listed_no_more(published: Path, tmp_path: Path) -> None:
    one = min(published.glob("*.h5"))
    other = fill_store(tmp_path / "other", make_recipe(backbone_digest="cd" * 32))[0].path
    one.unlink()
    shutil.copy(other, one)
    assert [mended.action for mended in repair_published(published)] == ["left"]
    Features(published)
    assert one.read_bytes() == other.read_bytes()


def test_a_damaged_index_is_refused(published: Path) -> None:
    damage(published / INDEX, 50)
    with pytest.raises(StoreError, match="extract again"):
        repair_published(published)


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
            repair_published(work)
        assert verify(work) in (problems, [])
        repair_published(work)
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
        repair_published(published)
    assert verify(published) == problems
