"""Padded batches: each video's rows, its mask, and the labels of this manifest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.published import Features, publish
from features.sequences import load_sequences
from features.store import FeatureStore
from tests.features.conftest import digest_of, make_recipe, make_sequence

NAMES = [f"video-{number}" for number in range(9)]


@dataclass(frozen=True)
class Row:
    path: str
    label: int
    group: str
    method: str
    sha256: str


def row(name: str) -> Row:
    return Row(f"{name}.mp4", len(name) % 2, f"group-{name}", "swap", digest_of(name))


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Features:
    folder = tmp_path_factory.mktemp("sequences")
    recipe = make_recipe()
    with FeatureStore(folder / "store", recipe, versions={}, shard_bytes=200) as store:
        store.begin([make_sequence(name, recipe).key for name in NAMES])
        for name in NAMES:
            store.stage(make_sequence(name, recipe))
        store.finish()
        shards = list({shard.path: shard for shard in store.shards.values()}.values())
    publish(folder / "out", shards, recipe, dim=5, failures=[], provenance={})
    return Features(folder / "out")


@given(st.lists(st.sampled_from([*NAMES, "failed", "gone"]), max_size=8))
@settings(max_examples=50, deadline=None)
def test_rows_masks_and_labels_belong_together(features: Features, names: list[str]) -> None:
    loaded = load_sequences(features, [row(name) for name in names])
    there = [name for name in names if name in NAMES]
    wanted = [make_sequence(name, make_recipe()).features for name in there]
    assert len(loaded) == len(there)
    assert loaded.features.dtype == np.float16
    assert loaded.features.shape[1:] == (max(map(len, wanted), default=0), 5)
    for number, one in enumerate(wanted):
        np.testing.assert_array_equal(loaded.features[number][: len(one)], one)
        assert not loaded.features[number][len(one) :].any()
        assert loaded.mask[number].tolist() == [n < len(one) for n in range(loaded.mask.shape[1])]
    assert loaded.mask.any(axis=1).all()
    assert loaded.labels.tolist() == [row(name).label for name in there]
    assert loaded.paths == tuple(f"{name}.mp4" for name in there)
    assert loaded.groups == tuple(f"group-{name}" for name in there)
    assert loaded.sha256s == tuple(map(digest_of, there))
    assert loaded.missing == tuple(f"{name}.mp4" for name in names if name not in NAMES)


def test_a_new_label_needs_no_new_features(features: Features) -> None:
    video = row(NAMES[0])
    turned = replace(video, label=1 - video.label)
    both = [load_sequences(features, [one]) for one in (video, turned)]
    assert both[0].labels.tolist() != both[1].labels.tolist()
    np.testing.assert_array_equal(both[0].features[:], both[1].features[:])


def test_a_batch_may_be_changed_in_place(features: Features) -> None:
    """Augmenting in memory must never reach the store."""
    loaded = load_sequences(features, [row(NAMES[0])])
    loaded.features[:][:] = 0
    assert loaded.features[:].any()


def test_rows_are_those_of_an_array(features: Features) -> None:
    loaded = load_sequences(features, [row(name) for name in NAMES])
    whole = np.stack(list(loaded.features))
    for rows in (slice(2, 7), slice(None, None, -2), np.array([5, 0, 5]), whole.any((1, 2)), [],
                 3, np.int64(8), -1):  # fmt: skip
        np.testing.assert_array_equal(loaded.features[rows], whole[rows])
    with pytest.raises(IndexError):
        loaded.features[len(NAMES)]
    parts = list(loaded.parts(4))
    assert [len(part) for part in parts] == [4, 4, 1]
    np.testing.assert_array_equal(np.concatenate([part.features for part in parts]), whole)
    assert sum((part.paths for part in parts), ()) == loaded.paths
