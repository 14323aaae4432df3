"""Features of earlier pixels: they open, check, and stay; new ones are made, in so many words."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.errors import StoreError
from data.pixels_version import PIXELS_VERSION
from features.extraction.job import Job
from features.extraction.outdated import count_outdated, format_outdated
from features.sequences.dataset import load_sequences
from features.store.adopt import adopt_feature_set
from features.store.feature_set import Features, read_index, write_index
from features.store.key import Recipe, sequence_key
from features.store.layout import INDEX, sealed_in
from features.store.store import FeatureStore
from features.store.verify import verify
from features.upkeep.diff import diff
from features.upkeep.gc import part_garbage, references_of
from tests.features.conftest import make_job, make_recipe, make_sequence
from tests.features.sequences.test_dataset import row
from tests.features.stores import fill_store, publish_to

ARCHIVE = Path(__file__).parents[1] / "archives" / "pixels-1"
NAMES = ["a", "b", "c"]
OLD, NEW = make_recipe(), make_recipe(pixels_version=PIXELS_VERSION)


def test_an_old_folder_opens_with_its_forgeries() -> None:
    features = Features(ARCHIVE)
    assert features.recipe.pixels_version == 1
    assert set(features.sha256s) == {"11" * 32, "22" * 32}
    assert features.sequence("22" * 32).path == "fake/anna.mp4"
    np.testing.assert_array_equal(
        features.sequence("22" * 32).features, np.arange(8).reshape(2, 4) / 8 + 1
    )
    view = features.view("22" * 32, 1)
    assert view is not None
    assert view.path == "fake/anna.mp4 (view 1)"
    assert verify(ARCHIVE) == []
    rows = [
        replace(row(name), path=name, sha256=digit * 32)
        for name, digit in (("real/anna.mp4", "11"), ("fake/anna.mp4", "22"))
    ]
    loaded = load_sequences(features, rows, views=True)
    assert (len(loaded), loaded.missing, loaded.viewless) == (2, (), 0)


def test_a_damaged_table_of_forgeries_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "features"
    shutil.copytree(ARCHIVE, out)
    facts = read_index(out).facts | {"stand_for": ["no table"]}
    (out / INDEX).unlink()
    write_index(out, facts)
    with pytest.raises(StoreError, match="damaged"):
        Features(out)


def test_old_and_new_features_of_one_video_lie_apart(tmp_path: Path) -> None:
    root = tmp_path / "store"
    old = publish_to(tmp_path / "old", fill_store(root, OLD, NAMES), OLD)
    new = publish_to(tmp_path / "new", fill_store(root, NEW, NAMES), NEW)
    assert len(list(root.iterdir())) == 2
    assert verify(root) == verify(old) == verify(new) == []
    assert diff(Features(old), Features(new)).recipe == {"pixels_version": (1, PIXELS_VERSION)}
    both = references_of([old, new])
    assert [part_garbage(part, both).files for part in sorted(root.iterdir())] == [(), ()]
    shutil.rmtree(old)
    found = {part.name: part_garbage(part, references_of([new])) for part in sorted(root.iterdir())}
    assert len(found[OLD.digest[:16]].files) == len(sealed_in(root / OLD.digest[:16]))
    assert found[NEW.digest[:16]].files == ()


@pytest.mark.parametrize("detector", [None, "cd" * 32], ids=["its detector", "another one"])
def test_older_features_are_counted_until_they_are_made_anew(
    tmp_path: Path, detector: str | None
) -> None:
    """Each pixels version has a face detector of its own."""
    jobs = [make_job(name) for name in (*NAMES, "never")]
    fill_store(tmp_path, replace(OLD, face_detector=detector or OLD.face_detector), NAMES)
    with FeatureStore(tmp_path, NEW, versions={}) as store:
        assert count_outdated(jobs, store) == 3
        store.begin()
        store.want([make_sequence("a", NEW).key])
        store.stage(make_sequence("a", NEW))
        assert count_outdated(jobs, store) == 2
        store.finish()
        assert count_outdated(jobs, store) == 2
    other = make_recipe(pixels_version=PIXELS_VERSION, dtype="float32")
    with FeatureStore(tmp_path, other, versions={}) as store:
        assert count_outdated(jobs, store) == 0, "other settings are no older pixels"


def test_a_forgery_under_its_originals_face_counts_and_a_damaged_shard_does_not(
    tmp_path: Path,
) -> None:
    old = Features(ARCHIVE).recipe
    jobs = [
        Job(path=Path(name), name=name, sha256=digit * 32, duration_seconds=1.0)
        for name, digit in (("real/anna.mp4", "11"), ("fake/anna.mp4", "22"), ("new.mp4", "33"))
    ]
    out = tmp_path / "features"
    shutil.copytree(ARCHIVE, out)
    new = replace(old, pixels_version=PIXELS_VERSION)
    with FeatureStore(tmp_path / "store", new, versions={}) as store:
        assert adopt_feature_set(out, store) == 0, "old features are not taken for new ones"
        assert count_outdated(jobs, store) == 0
        assert count_outdated(jobs, store, out) == 2
        (shard,) = out.glob("*.h5")
        shard.unlink()
        shard.write_bytes(b"damaged")
        assert count_outdated(jobs, store, out) == 0


def test_the_line_names_number_and_version() -> None:
    assert format_outdated(0, NEW) == []
    (line,) = format_outdated(3, NEW)
    assert line == (
        "3 of these videos have features of an earlier pixels version; they are made again, as "
        f"version {PIXELS_VERSION}"
    )


def test_keys_of_one_video_differ_by_the_version() -> None:
    assert sequence_key("11" * 32, OLD) != sequence_key("11" * 32, NEW)
    assert "pixels_version" not in OLD.to_json()
    assert Recipe.from_json(NEW.to_json()) == NEW
    assert Recipe.from_json(OLD.to_json()) == OLD
