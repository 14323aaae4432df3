"""What `gc` removes is what nobody uses: never more, whoever links, copies or damages what."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import InputError, LockedError, StoreError
from features.store.feature_set import INDEX
from features.store.key import Recipe
from features.store.layout import find_feature_sets, parts_of, recipe_of
from features.store.lock import hold_lock
from features.store.shard import Shard
from features.store.store import FeatureStore
from features.store.verify import verify
from features.upkeep.gc import (
    Garbage,
    PartGarbage,
    doubled_among,
    find_garbage,
    part_garbage,
    references_of,
    remove_garbage,
)
from tests.features.conftest import make_recipe, make_sequence
from tests.features.stores import NAMES, damage, fill_store, held, publish_to, sealed


def plan(store: Path, *folders: Path, drop_linked: bool = False) -> list[PartGarbage]:
    used = references_of(folders)
    return [part_garbage(part, used, drop_linked=drop_linked) for part in parts_of(store)]


def going(plans: list[PartGarbage]) -> dict[str, str]:
    return {one.path.name: one.reason for some in plans for one in some.files}


def remove(found: PartGarbage) -> None:
    remove_garbage(Garbage(keep=(), parts=(found,)))


def copied(source: Path, target: Path) -> Path:
    """As DVC's cache gives it back where it cannot link."""
    return Path(shutil.copytree(source, target))


@pytest.fixture
def store(tmp_path: Path, recipe: Recipe) -> Path:
    fill_store(tmp_path / "store", recipe)
    return tmp_path / "store"


def test_shards_of_no_folder_go(tmp_path: Path, store: Path, recipe: Recipe) -> None:
    shards = [Shard(path) for path in sealed(store)]
    out = publish_to(tmp_path / "features", shards[:2])
    copy = copied(out, tmp_path / "copy")
    shutil.rmtree(out)
    (found,) = plan(store, copy)
    assert going([found]) == {shard.path.name: "unused" for shard in shards[2:]}
    assert found.kept == 2
    assert sum(one.videos for one in found.files) == sum(map(len, shards[2:]))
    assert all(one.size_bytes == one.path.stat().st_size for one in found.files)
    remove(found)
    assert sealed(store) == [shard.path for shard in shards[:2]]
    assert (verify(store), verify(copy)) == ([], [])


def test_a_folder_that_nobody_named_protects_by_its_links(
    tmp_path: Path, store: Path, recipe: Recipe
) -> None:
    shards = [Shard(path) for path in sealed(store)]
    named = copied(publish_to(tmp_path / "named", shards[:1]), tmp_path / "copy")
    shutil.rmtree(tmp_path / "named")
    publish_to(tmp_path / "unnamed", shards[1:3])
    (found,) = plan(store, named)
    assert going([found]) == {shard.path.name: "unused" for shard in shards[3:]}
    assert found.linked == tuple(shard.path for shard in shards[1:3])
    (found,) = plan(store, named, drop_linked=True)
    assert going([found]) == {shard.path.name: "unused" for shard in shards[1:]}
    remove(found)
    assert verify(tmp_path / "unnamed") == []


def test_a_shard_counts_as_used_by_the_videos_in_it(
    tmp_path: Path, store: Path, recipe: Recipe
) -> None:
    """After `compact`, the store's shards have other names than the published ones."""
    fill_store(tmp_path / "other", recipe, NAMES[:2], shard_bytes=10**6)
    out = publish_to(tmp_path / "features", [Shard(path) for path in sealed(tmp_path / "other")])
    kept = {path for path in sealed(store) if {*Shard(path).paths[:99]} & {
        "videos/video-00.mp4", "videos/video-01.mp4"}}  # fmt: skip
    assert set(going(plan(store, out))) == {path.name for path in sealed(store)} - {
        path.name for path in kept
    }


def test_a_recipe_of_no_folder_goes_with_its_staging(
    tmp_path: Path, store: Path, recipe: Recipe
) -> None:
    out = publish_to(tmp_path / "features", [Shard(path) for path in sealed(store)])
    tuned = make_recipe(backbone_digest="cd" * 32)
    for one in (recipe, tuned):
        with FeatureStore(store, one, versions={}) as opened:
            opened.stage(make_sequence("staged", one))
            (opened.folder / "staging" / f".{'1' * 64}").write_text("half")
    frozen, other = sorted(plan(store, out), key=lambda one: one.part.name != recipe.digest[:16])
    assert going([frozen]) == {f".{'1' * 64}": "leftover"}
    assert sorted(one.reason for one in other.files) == ["leftover", "unused"]
    assert [one.staged for one in other.files if one.reason == "unused"] == [True]
    with hold_lock(frozen.part), hold_lock(other.part):
        remove(frozen)
        remove(other)
    assert parts_of(store) == [frozen.part]
    assert not other.part.exists()
    assert len(list(frozen.part.glob("staging/*.h5"))) == 1
    with FeatureStore(store, tuned, versions={}) as opened:
        assert opened.shards == {}


def test_a_part_with_files_of_others_stays(tmp_path: Path, store: Path, recipe: Recipe) -> None:
    (part,) = parts_of(store)
    (part / "notes.txt").write_text("not ours to remove")
    other = fill_store(tmp_path / "other", make_recipe(backbone_digest="cd" * 32))
    out = publish_to(tmp_path / "features", other, make_recipe(backbone_digest="cd" * 32))
    (found,) = plan(store, out)
    remove(found)
    assert (part / "notes.txt").exists()
    assert sealed(store) == []


def test_a_removed_lock_holds_nobody_off(store: Path, recipe: Recipe) -> None:
    """A writer that had the lock's file open when `gc` removed it takes the new one."""
    (part,) = parts_of(store)
    with hold_lock(part):
        (part / "lock").unlink()
        with hold_lock(part), pytest.raises(LockedError):
            hold_lock(part)


def test_damaged_and_later_shards_of_a_recipe_in_use_stay(
    tmp_path: Path, store: Path, recipe: Recipe
) -> None:
    one, two, three, *_ = sealed(store)
    out = publish_to(tmp_path / "features", [Shard(three)])
    damage(one, 600)
    two.chmod(0o644)
    two.write_bytes(two.read_bytes().replace(b'"version":1', b'"version":9', 1))
    assert {one.name, two.name}.isdisjoint(going(plan(store, out)))
    other = make_recipe(backbone_digest="cd" * 32)
    elsewhere = publish_to(tmp_path / "elsewhere", fill_store(tmp_path / "s2", other), other)
    assert one.name in going(plan(store, elsewhere))
    assert two.name not in going(plan(store, elsewhere))


def test_doubled_shards_go_but_never_for_a_damaged_one(
    tmp_path: Path, store: Path, recipe: Recipe
) -> None:
    small = sealed(store)
    (large,) = fill_store(tmp_path / "large", recipe, shard_bytes=10**6)
    shutil.copy(large.path, small[0].parent)
    out = publish_to(tmp_path / "features", [large])
    assert going(plan(store, out)) == {path.name: "doubled" for path in small}
    place = small[0].parent / large.path.name
    damage(place, 2100)  # in its rows or its lists: it cannot vouch for all
    assert len(going(plan(store, out))) < len(small)
    (found,) = plan(store, out)
    before = held(store, recipe)
    remove(found)
    assert held(store, recipe) == before == set(NAMES)


def test_of_equal_shards_one_stays(tmp_path: Path, recipe: Recipe) -> None:
    one = fill_store(tmp_path / "a", recipe, NAMES[:3], shard_bytes=10**6)
    two = fill_store(tmp_path / "b", recipe, NAMES[:3], shard_bytes=10**6, versions={"ffmpeg": "8"})
    assert len(doubled_among([*one, *two])) == 1


@given(
    st.lists(st.sets(st.sampled_from(NAMES[:6]), min_size=1), min_size=1, max_size=5),
    st.sets(st.integers(0, 4)),
)
@settings(max_examples=25, deadline=None)
def test_no_video_in_use_is_ever_removed(
    tmp_path_factory: pytest.TempPathFactory, sets: list[set[str]], published: set[int]
) -> None:
    """Shards of any videos, any of them published elsewhere as copies."""
    recipe, root = make_recipe(), tmp_path_factory.mktemp("gc")
    shards = []
    for number, names in enumerate(sets):
        made = fill_store(root / f"{number}", recipe, sorted(names), shard_bytes=10**6)
        shards += made
        (root / "store" / recipe.digest[:16] / "shards").mkdir(parents=True, exist_ok=True)
        shutil.copy(made[0].path, root / "store" / recipe.digest[:16] / "shards")
    folders = [
        publish_to(root / f"out-{number}", [shard])
        for number, shard in enumerate(shards)
        if number in published
    ]
    used = {name for number, names in enumerate(sets) if number in published for name in names}
    for found in plan(root / "store", *folders):
        remove(found)
    for _ in range(2):
        assert used <= held(root / "store", recipe)
        if parts_of_or_none(root / "store"):
            assert [going([one]) for one in plan(root / "store", *folders)] == [{}]


def parts_of_or_none(store: Path) -> list[Path]:
    try:
        return parts_of(store)
    except InputError:
        return []


def test_a_damaged_index_stops_it(tmp_path: Path, store: Path) -> None:
    out = publish_to(tmp_path / "features", [Shard(path) for path in sealed(store)])
    damage(out / INDEX, 50)
    with pytest.raises(StoreError):
        plan(store, out)
    with pytest.raises(StoreError), find_garbage(store, keep=[out], lock=True):
        pytest.fail("the block is not entered")
    assert list(find_feature_sets(tmp_path)) == [out]


def test_folders_of_features_are_found(tmp_path: Path, store: Path) -> None:
    shards = [Shard(path) for path in sealed(store)]
    for name in ("b/deep/er", "a", ".hidden/f"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        publish_to(tmp_path / name, shards)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / INDEX).write_text('{"format": "of another program"}')
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert list(find_feature_sets(tmp_path)) == [tmp_path / "a", tmp_path / "b" / "deep" / "er"]


def test_a_part_is_a_store_too(store: Path) -> None:
    (part,) = parts_of(store)
    assert parts_of(part) == [part]
    assert recipe_of(part) == part.name
