"""Compaction keeps every video, ends in the same bytes however often it is killed, and ends."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import LockedError, StoreError
from features.store.feature_set import Features, verify
from features.store.key import Recipe
from features.store.layout import parts_of
from features.store.shard import Shard
from features.store.store import FeatureStore
from features.upkeep import compact as module
from features.upkeep.compact import Compaction, compact_part
from features.upkeep.repair import repair_part
from tests.features.conftest import make_recipe, make_sequence
from tests.features.crash import killed_at
from tests.features.stores import NAMES, damage, fill_store, held, publish_to, sealed

ROOT = Path(__file__).parents[3]
SHARD_BYTES = 500
"""Twelve videos take a few shards of this size."""


def compact(store: Path, *, shard_bytes: int = SHARD_BYTES, dry_run: bool = False) -> Compaction:
    (part,) = parts_of(store)
    return compact_part(part, shard_bytes=shard_bytes, dry_run=dry_run)


def fill_in_runs(root: Path, recipe: Recipe, runs: list[list[str]]) -> None:
    """Each run leaves its own last shard."""
    for run in runs:
        fill_store(root, recipe, run, shard_bytes=10**6)


@pytest.fixture
def store(tmp_path: Path, recipe: Recipe) -> Path:
    """Twelve runs of one video each, the last ones first."""
    fill_in_runs(tmp_path / "store", recipe, [[name] for name in reversed(NAMES)])
    return tmp_path / "store"


def test_many_become_few(store: Path, recipe: Recipe) -> None:
    assert len(sealed(store)) == len(NAMES)
    planned = compact(store, dry_run=True)
    assert len(sealed(store)) == len(NAMES)
    done = compact(store)
    assert (len(done.merged), done.made_count) == (len(planned.merged), planned.made_count)
    assert sorted(done.made) == [path.name for path in sealed(store)]
    assert 1 < len(done.made) < 6
    shards = sorted(map(Shard, sealed(store)), key=lambda shard: shard.paths)
    paths = [path for shard in shards for path in shard.paths]
    assert paths == sorted(f"videos/{name}.mp4" for name in NAMES)
    assert sum(shard.nbytes < SHARD_BYTES for shard in shards) <= 1
    assert held(store, recipe) == set(NAMES)
    assert verify(store) == []
    assert compact(store).merged == ()


def test_it_is_what_one_run_over_all_would_have_made(
    store: Path, tmp_path: Path, recipe: Recipe
) -> None:
    fill_store(tmp_path / "one run", recipe, shard_bytes=SHARD_BYTES)
    compact(store)
    wanted = [path.read_bytes() for path in sealed(tmp_path / "one run")]
    assert [path.read_bytes() for path in sealed(store)] == wanted


def test_published_folders_go_on_working(store: Path, tmp_path: Path, recipe: Recipe) -> None:
    out = publish_to(tmp_path / "features", [Shard(path) for path in sealed(store)])
    compact(store)
    assert verify(out) == []
    assert len(Features(out)) == len(NAMES)


def test_killed_at_any_step_nothing_is_lost_and_the_end_is_the_same(
    tmp_path: Path, recipe: Recipe
) -> None:
    fill_in_runs(tmp_path / "model", recipe, [NAMES[n : n + 2] for n in range(0, 12, 2)])
    shutil.copytree(tmp_path / "model", tmp_path / "plain")
    compact(tmp_path / "plain")
    wanted = [path.name for path in sealed(tmp_path / "plain")]
    for step in range(100):
        work = tmp_path / f"work-{step}"
        shutil.copytree(tmp_path / "model", work)
        with killed_at(step) as ended:
            compact(work)
        assert held(work, recipe) == set(NAMES)
        assert verify(work) == []
        with FeatureStore(work, recipe, versions={}) as opened:
            used = {id(shard): shard for shard in opened.shards.values()}.values()
            assert all(opened.has(make_sequence(name, recipe).key) for name in NAMES)
            # What is published after a kill is no mixture of both: no video lies in it twice.
            out = publish_to(tmp_path / f"out-{step}", list(used))
        assert len(Features(out)) == len(NAMES)
        assert verify(out) == []
        compact(work)
        assert [path.name for path in sealed(work)] == wanted
        if not ended():
            break
    assert 10 < step < 99


UPKEEP = """
import sys
from pathlib import Path
from features.upkeep.compact import compact_part
from features.store.layout import parts_of
from features.upkeep.repair import repair_part
(part,) = parts_of(Path(sys.argv[1]))
print("begun", flush=True)
repair_part(part)
compact_part(part, shard_bytes=500)
"""


def test_kill_9_at_any_moment_loses_nothing_and_the_end_is_the_same(
    tmp_path: Path, recipe: Recipe
) -> None:
    """The real thing: repair, then compact, in a process that is killed until it gets through."""
    fill_in_runs(tmp_path / "work", recipe, [NAMES[n : n + 2] for n in range(0, 12, 2)])
    damage(sealed(tmp_path / "work")[0], 100)  # of its preamble: every video can be rescued
    shutil.copytree(tmp_path / "work", tmp_path / "plain")
    assert len(repair_part(parts_of(tmp_path / "plain")[0])) == 1
    compact(tmp_path / "plain")
    draw = random.Random(7)
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", UPKEEP, str(tmp_path / "work")],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        ) as child:  # fmt: skip
            assert child.stdout is not None
            assert child.stdout.readline() == "begun\n"
            time.sleep(draw.random() * 0.6)
            child.send_signal(signal.SIGKILL)
        damaged = {problem.file for problem in verify(tmp_path / "work")}
        assert len(damaged) <= 1
        assert len(held(tmp_path / "work", recipe)) >= len(NAMES) - 2 * len(damaged)
        if child.returncode == 0:
            break
    repair_part(parts_of(tmp_path / "work")[0])
    compact(tmp_path / "work")
    assert [path.name for path in sealed(tmp_path / "work")] == [
        path.name for path in sealed(tmp_path / "plain")
    ]
    assert held(tmp_path / "work", recipe) == set(NAMES)


@given(
    st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4), min_size=1, max_size=6),
    st.integers(100, 3000),
    st.integers(0, 40),
)
@settings(max_examples=25, deadline=None)
def test_any_runs_any_size_any_kill(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[str]], shard_bytes: int, step: int
) -> None:
    recipe, root = make_recipe(), tmp_path_factory.mktemp("compact")
    fill_in_runs(root / "store", recipe, runs)
    names = {name for run in runs for name in run}
    with killed_at(step):
        compact(root / "store", shard_bytes=shard_bytes)
    assert held(root / "store", recipe) == names
    compact(root / "store", shard_bytes=shard_bytes)
    compact(root / "store", shard_bytes=shard_bytes)
    assert held(root / "store", recipe) == names
    shards = [Shard(path) for path in sealed(root / "store")]
    assert sum(map(len, shards)) == len(names)
    assert sum(shard.nbytes < shard_bytes for shard in shards) <= 1
    assert compact(root / "store", shard_bytes=shard_bytes).merged == ()


def test_videos_that_a_full_shard_holds_are_not_kept_twice(
    store: Path, tmp_path: Path, recipe: Recipe
) -> None:
    (large,) = fill_store(tmp_path / "large", recipe, shard_bytes=10**6)
    shutil.copy(large.path, sealed(store)[0].parent)
    done = compact(store)
    assert (len(done.merged), done.made) == (12, ())
    assert [path.name for path in sealed(store)] == [large.path.name]


def test_damaged_and_foreign_shards_are_left_out(
    store: Path, tmp_path: Path, recipe: Recipe
) -> None:
    one, two, *_ = sealed(store)
    damage(one, 600)
    damage(two, cut=-8)
    other = fill_store(tmp_path / "other", make_recipe(backbone_digest="cd" * 32), NAMES[:1])
    shutil.copy(other[0].path, one.parent)
    done = compact(store)
    assert sorted(done.left) == sorted([one.name, two.name, other[0].path.name])
    assert {one, two} < set(sealed(store))
    assert len(held(store, recipe)) >= len(NAMES) - 2


def test_shards_by_other_versions_of_programs_are_not_mixed(tmp_path: Path, recipe: Recipe) -> None:
    for number, name in enumerate(NAMES):
        version = {"ffmpeg": str(6 + number % 2)}
        fill_store(tmp_path / "store", recipe, [name], shard_bytes=10**6, versions=version)
    compact(tmp_path / "store", shard_bytes=10**6)
    shards = [Shard(path) for path in sealed(tmp_path / "store")]
    assert sorted(shard.versions["ffmpeg"] for shard in shards) == ["6", "7"]
    assert {len(shard) for shard in shards} == {6}


def test_damage_on_the_way_removes_nothing(
    store: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sealed(store)

    def strike(places: list[module.Place]) -> Path:
        damage(places[0].shard.path, 600, linked=True)
        vars(places[0].shard).pop("rows", None)
        monkeypatch.setattr(Shard, "intact", lambda *_: False)
        return real(places)

    real = module._merge
    monkeypatch.setattr(module, "_merge", strike)
    with pytest.raises(StoreError, match="was damaged just now"):
        compact(store)
    assert sealed(store) == before


def test_the_lock_is_held_but_not_in_a_dry_run(store: Path, recipe: Recipe) -> None:
    with FeatureStore(store, recipe, versions={}):
        assert compact(store, dry_run=True).made_count
        with pytest.raises(LockedError):
            compact(store)
