"""A published folder without its store, as a fresh clone has it: nothing in it is made again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from features.store.adopt import adopt_feature_set
from features.store.feature_set import INDEX
from features.store.key import Recipe
from features.store.store import FeatureStore
from features.store.verify import verify
from tests.features.conftest import make_recipe, make_sequence
from tests.features.crash import killed_at
from tests.features.stores import NAMES, damage, fill_store, held, publish_to, sealed


@pytest.fixture
def pulled(tmp_path: Path, recipe: Recipe) -> Path:
    """Features whose store is elsewhere; copies, as DVC leaves them for a stage to change."""
    publish_to(tmp_path / "origin", fill_store(tmp_path / "other-store", recipe, shard_bytes=300))
    return Path(shutil.copytree(tmp_path / "origin", tmp_path / "features"))


def adopt(folder: Path, root: Path, recipe: Recipe) -> int:
    """Opens a store as `extract` does, and adopts."""
    with FeatureStore(root, recipe, versions={}) as store:
        return adopt_feature_set(folder, store)


def test_an_empty_store_takes_all_over(tmp_path: Path, recipe: Recipe, pulled: Path) -> None:
    assert adopt(pulled, tmp_path / "store", recipe) == len(NAMES)
    assert held(tmp_path / "store", recipe) == set(NAMES)
    taken = sealed(tmp_path / "store")
    assert [path.name for path in taken] == [path.name for path in sealed(tmp_path / "other-store")]
    assert {path.stat().st_mode & 0o777 for path in taken} == {0o444}
    assert verify(tmp_path / "store") == []
    assert adopt(pulled, tmp_path / "store", recipe) == 0


def test_only_what_is_lacking_is_read(tmp_path: Path, recipe: Recipe, pulled: Path) -> None:
    adopt(pulled, tmp_path / "store", recipe)
    for path in pulled.glob("*.h5"):
        damage(path, 2200)  # in the rows: the header is all that is read, where nothing is lacking
    before = sealed(tmp_path / "store")
    assert adopt(pulled, tmp_path / "store", recipe) == 0
    assert sealed(tmp_path / "store") == before


def test_a_damaged_shard_is_passed_over(tmp_path: Path, recipe: Recipe, pulled: Path) -> None:
    first, second, *rest = sorted(pulled.glob("*.h5"))
    damage(first, first.stat().st_size // 2)
    second.unlink()
    assert 0 < adopt(pulled, tmp_path / "store", recipe) < len(NAMES)
    assert [path.name for path in sealed(tmp_path / "store")] == [path.name for path in rest]
    assert verify(tmp_path / "store") == []


@pytest.mark.parametrize("way", ["none", "file", "damaged index", "other recipe", "no index"])
def test_what_is_no_folder_of_these_features_is_passed_over(
    tmp_path: Path, recipe: Recipe, pulled: Path, way: str
) -> None:
    folder = pulled
    if way == "none":
        folder = tmp_path / "nowhere"
    elif way == "file":
        folder = pulled / INDEX
    elif way == "damaged index":
        (pulled / INDEX).write_text((pulled / INDEX).read_text().replace("dim", "dam", 1))
    elif way == "other recipe":
        recipe = make_recipe(backbone_digest="cd" * 32)
    else:
        (pulled / INDEX).unlink()
    assert adopt(folder, tmp_path / "store", recipe) == 0
    assert sealed(tmp_path / "store") == []


def test_where_links_fail_it_is_copied(
    tmp_path: Path, recipe: Recipe, pulled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert adopt(pulled, tmp_path / "store", recipe) == len(NAMES)
    assert {path.stat().st_nlink for path in sealed(tmp_path / "store")} == {1}
    assert verify(tmp_path / "store") == []


def test_new_videos_join_the_adopted(tmp_path: Path, recipe: Recipe, pulled: Path) -> None:
    names = [*NAMES, "new-1", "new-2"]
    with FeatureStore(tmp_path / "store", recipe, versions={}) as store:
        adopt_feature_set(pulled, store)
        sequences = [make_sequence(name, recipe) for name in names]
        assert [s.path for s in sequences if not store.has(s.key)] == [
            "videos/new-1.mp4", "videos/new-2.mp4",
        ]  # fmt: skip


def test_a_kill_while_adopting_leaves_a_whole_store(
    tmp_path: Path, recipe: Recipe, pulled: Path
) -> None:
    for step in range(100):
        root = tmp_path / f"store-{step}"
        with killed_at(step) as was_killed:
            adopt(pulled, root, recipe)
        if not was_killed():
            break
        if any(root.glob("*/shards")):
            assert verify(root) == []
        adopt(pulled, root, recipe)
        assert held(root, recipe) == set(NAMES)
        assert verify(root) == []
    assert step > 10
