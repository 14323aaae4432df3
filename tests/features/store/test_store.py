"""The working store: nothing finished is lost, and interruptions leave no trace in the bytes."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.errors import LockedError, OutputError, StoreError
from features.store.key import Recipe
from features.store.preamble import LaterVersionError
from features.store.store import FeatureStore
from features.store.verify import verify
from tests.features.conftest import make_recipe, make_sequence

ROOT = Path(__file__).parents[3]
NAMES = [f"video-{number:02d}" for number in range(12)]
SHARD_BYTES = 300


def open_store(root: Path, recipe: Recipe) -> FeatureStore:
    return FeatureStore(root, recipe, versions={"test": "1"}, shard_bytes=SHARD_BYTES)


def fill(root: Path, recipe: Recipe, names: list[str] = NAMES) -> None:
    """A whole run over these videos."""
    with open_store(root, recipe) as store:
        sequences = [make_sequence(name, recipe) for name in names]
        store.begin([sequence.key for sequence in sequences])
        for sequence in sequences:
            if not store.has(sequence.key):
                store.stage(sequence)
        store.finish()


def sealed(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*/shards/*"))


def staged(root: Path) -> list[Path]:
    return sorted(root.glob("*/staging/*"))


def test_what_is_staged_is_sealed_in_the_manifests_order(tmp_path: Path, recipe: Recipe) -> None:
    fill(tmp_path, recipe)
    assert len(sealed(tmp_path)) > 2
    assert staged(tmp_path) == []
    with open_store(tmp_path, recipe) as store:
        found = [
            (shard, number)
            for shard in {id(s): s for s in store.shards.values()}.values()
            for number in range(len(shard))
        ]
        assert len(found) == len(NAMES)
        for shard, number in found:
            wanted = make_sequence(Path(shard.paths[number]).stem, recipe)
            assert shard.sequence(number).crc32() == wanted.crc32()
        for shard in store.shards.values():
            assert list(shard.paths) == sorted(shard.paths)


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1], NAMES[1::2] + NAMES[::2]])
@pytest.mark.parametrize("stop", [0, 1, 5, 11, 12])
def test_order_and_interruption_leave_no_trace(
    tmp_path: Path, recipe: Recipe, order: list[str], stop: int
) -> None:
    fill(tmp_path / "plain", recipe)
    keys = [make_sequence(name, recipe).key for name in NAMES]
    with open_store(tmp_path / "broken", recipe) as store:
        store.begin(keys)
        for name in order[:stop]:
            store.stage(make_sequence(name, recipe))
        # and here the process ends: no finish
    with open_store(tmp_path / "broken", recipe) as store:
        assert sum(map(store.has, keys)) == stop
        store.begin(keys)
        for name in order:
            sequence = make_sequence(name, recipe)
            if not store.has(sequence.key):
                store.stage(sequence)
        store.finish()
    assert sealed(tmp_path / "broken") == sealed(tmp_path / "plain")


def test_a_failed_video_holds_nothing_up(tmp_path: Path, recipe: Recipe) -> None:
    sequences = [make_sequence(name, recipe) for name in NAMES]
    with open_store(tmp_path, recipe) as store:
        store.begin([sequence.key for sequence in sequences])
        store.fail(sequences[0].key)
        for sequence in sequences[1:]:
            store.stage(sequence)
        assert len(sealed(tmp_path)) > 2
        store.finish()
        assert not store.has(sequences[0].key)
    assert staged(tmp_path) == []


def test_leftovers_and_damaged_staging_are_dropped_and_whole_staging_is_kept(
    tmp_path: Path, recipe: Recipe
) -> None:
    sequences = [make_sequence(name, recipe) for name in NAMES[:4]]
    with FeatureStore(tmp_path, recipe, versions={}) as store:
        store.begin([sequence.key for sequence in sequences])
        for sequence in sequences:
            store.stage(sequence)
        folder = store.folder
    flipped, truncated, renamed, whole = staged(tmp_path)
    data = bytearray(flipped.read_bytes())
    data[2113] ^= 1  # in the rows
    flipped.write_bytes(data)
    truncated.write_bytes(truncated.read_bytes()[:-1])
    renamed.rename(renamed.with_name(f"{'0' * 64}.h5"))
    (folder / "staging" / f".{'1' * 64}").write_text("half")
    (folder / "shards" / f".{'2' * 64}").write_text("half")
    notes = folder / "staging" / "notes.txt"
    notes.write_text("not ours to remove")
    with FeatureStore(tmp_path, recipe, versions={}) as store:
        assert [store.has(sequence.key) for sequence in sequences].count(True) == 1
        assert store.has(whole.stem)
    assert staged(tmp_path) == sorted([whole, notes])
    assert list(folder.glob("shards/.*")) == []


def test_staging_of_a_later_version_is_refused_and_kept(tmp_path: Path, recipe: Recipe) -> None:
    with FeatureStore(tmp_path, recipe, versions={}) as store:
        store.stage(make_sequence("a", recipe))
    (path,) = staged(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":9', 1))
    with pytest.raises(LaterVersionError, match="use a later unmask"):
        open_store(tmp_path, recipe)
    assert staged(tmp_path) == [path]
    path.unlink()
    open_store(tmp_path, recipe).__exit__()  # the refusal let go of the lock


def test_a_damaged_shard_is_made_again_in_place(tmp_path: Path, recipe: Recipe) -> None:
    fill(tmp_path, recipe)
    before = sealed(tmp_path)
    (path,) = tmp_path.glob(f"*/shards/{before[0]}")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:1000])
    assert [problem.problem for problem in verify(tmp_path)] == ["changed", "damaged"]
    fill(tmp_path, recipe)
    assert sealed(tmp_path) == before
    assert verify(tmp_path) == []


def test_shards_are_read_only(tmp_path: Path, recipe: Recipe) -> None:
    """They are linked into caches: a write in place would change them everywhere."""
    fill(tmp_path, recipe)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("*/shards/*")}
    assert modes == {0o444}


def test_recipes_do_not_mix(tmp_path: Path, recipe: Recipe) -> None:
    fill(tmp_path, recipe)
    with open_store(tmp_path, make_recipe(backbone_digest="cd" * 32)) as store:
        assert store.shards == {}
    with open_store(tmp_path, make_recipe(backbone="another name for the same")) as store:
        assert len(store.shards) == len(NAMES)


def test_more_videos_than_file_handles(tmp_path: Path, recipe: Recipe) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    try:
        names = [f"small-{number}" for number in range(100)]
        with FeatureStore(tmp_path, recipe, versions={}) as store:
            store.begin([make_sequence(name, recipe, frames=1).key for name in names])
            for name in names:
                store.stage(make_sequence(name, recipe, frames=1))
            store.finish()
            assert len(store.shards) == 100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_second_writer_learns_who_is_writing(tmp_path: Path, recipe: Recipe) -> None:
    with open_store(tmp_path, recipe):
        with pytest.raises(LockedError, match=rf"process {os.getpid()} on \S+ since \S+ is writ"):
            open_store(tmp_path, recipe)
        with open_store(tmp_path, make_recipe(backbone_digest="cd" * 32)):
            pass  # another recipe is another store
    with open_store(tmp_path, recipe):
        pass


def test_a_dead_holder_holds_nothing(tmp_path: Path, recipe: Recipe) -> None:
    code = """
import sys, time
from pathlib import Path
from tests.features.conftest import make_recipe
from tests.features.store.test_store import open_store
store = open_store(Path(sys.argv[1]), make_recipe())
print("open", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(LockedError, match=f"process {child.pid} on"):
            open_store(tmp_path, recipe)
        child.kill()
    with open_store(tmp_path, recipe) as store:
        assert json.loads((store.folder / "lock").read_text())["pid"] == os.getpid()


def test_a_store_that_cannot_be_made_is_one_line(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write the store .*--store"):
        open_store(tmp_path / "file", recipe)


def test_a_staged_file_damaged_while_we_run_ends_in_an_error(
    tmp_path: Path, recipe: Recipe
) -> None:
    with FeatureStore(tmp_path, recipe, versions={}) as store:
        store.begin([make_sequence(name, recipe).key for name in NAMES[:2]])
        for name in NAMES[:2]:
            store.stage(make_sequence(name, recipe))
        path = staged(tmp_path)[1]
        data = bytearray(path.read_bytes())
        data[2113] ^= 1
        path.write_bytes(data)
        with pytest.raises(StoreError, match="was damaged since it was written"):
            store.finish()
    assert sealed(tmp_path) == []
    fill(tmp_path, recipe, NAMES[:2])
    assert verify(tmp_path) == []


WRITER = """
import sys, time
from pathlib import Path
from tests.features.conftest import make_recipe, make_sequence
from tests.features.store.test_store import NAMES, open_store
recipe = make_recipe()
sequences = [make_sequence(name, recipe) for name in NAMES]
with open_store(Path(sys.argv[1]), recipe) as store:
    print("open", flush=True)
    store.begin([sequence.key for sequence in sequences])
    for sequence in sequences[5:] + sequences[:5]:
        if not store.has(sequence.key):
            store.stage(sequence)
            print(sequence.key, flush=True)
    store.finish()
"""


def test_kill_9_at_any_moment_loses_at_most_what_was_in_flight(
    tmp_path: Path, recipe: Recipe
) -> None:
    fill(tmp_path / "plain", recipe)
    draw = random.Random(5)
    told: set[str] = set()
    ended = False
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "killed")],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        ) as child:  # fmt: skip
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            time.sleep(draw.random() * 0.03)
            child.send_signal(signal.SIGKILL)
            told |= set(child.stdout.read().split())
        ended = child.returncode == 0
        assert verify(tmp_path / "killed") == []
        shutil.copytree(tmp_path / "killed", tmp_path / "look")
        with open_store(tmp_path / "look", recipe) as store:
            lost = [key for key in told if len(key) == 64 and not store.has(key)]
        shutil.rmtree(tmp_path / "look")
        assert lost == []
        if ended:
            break
    fill(tmp_path / "killed", recipe)
    assert sealed(tmp_path / "killed") == sealed(tmp_path / "plain")
    assert verify(tmp_path / "killed") == []
    assert staged(tmp_path / "killed") == []


@pytest.mark.parametrize("part", [1, 2, 5])
@pytest.mark.parametrize("ends", [(), (3,), (4, 9), (1, 2, 3, 11)])
def test_a_run_told_in_parts_is_cut_as_one_told_at_once(
    tmp_path: Path, recipe: Recipe, part: int, ends: tuple[int, ...]
) -> None:
    # The same video twice, and one that fails at first: as a scan may meet them.
    names = [*NAMES[:8], NAMES[2], *NAMES[8:], NAMES[5]]
    sequences = [make_sequence(name, recipe) for name in names]
    with open_store(tmp_path / "plain", recipe) as store:
        store.begin(one.key for number, one in enumerate(sequences) if number != 5)
        for number, one in enumerate(sequences):
            if number != 5 and not store.has(one.key):
                store.stage(one)
        store.finish()
    done = 0
    for end in (*ends, len(sequences)):
        with open_store(tmp_path / "parts", recipe) as store:
            known = [one.key for number, one in enumerate(sequences[:done]) if number != 5]
            store.begin(key for key in known if store.has(key))
            for start in range(done, end, part):
                keys = [one.key for one in sequences[start : min(start + part, end)]]
                store.want(keys)
                for number in range(start, min(start + part, end)):
                    if number == 5:
                        store.fail(sequences[number].key)
                    elif not store.has(sequences[number].key):
                        store.stage(sequences[number])
            done = end
            if end == len(sequences):
                store.finish()
    assert sealed(tmp_path / "parts") == sealed(tmp_path / "plain")
    assert staged(tmp_path / "parts") == []


def test_of_doubled_videos_the_larger_shard_counts_whatever_comes_first(
    tmp_path: Path, recipe: Recipe
) -> None:
    for folder, names in (("large", NAMES), ("small", NAMES[:3])):
        with FeatureStore(tmp_path / folder, recipe, versions={}) as store:
            store.begin(make_sequence(name, recipe).key for name in names)
            for name in names:
                store.stage(make_sequence(name, recipe))
            store.finish()
    large, small = (next((tmp_path / one).glob("*/shards/*")) for one in ("large", "small"))
    for order in ((large, small), (small, large)):
        with FeatureStore(tmp_path / order[0].name, recipe, versions={}) as store:
            assert all(map(store.take, order))
            assert {shard.path.name for shard in store.shards.values()} == {large.name}
