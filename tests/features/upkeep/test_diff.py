"""Comparing folders of features, and their statistics, against plain arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from features.store.feature_set import Features, publish
from features.store.key import Recipe, sequence_key
from features.store.shard import StoredSequence
from features.store.store import FeatureStore
from features.upkeep.diff import Diff, diff, differences, video_change
from features.upkeep.inspect import statistics
from tests.features.conftest import make_recipe, make_sequence

TUNED = make_recipe(backbone="tuned", backbone_digest="cd" * 32, frames={"count": 8, "size": 9})


def published(folder: Path, recipe: Recipe, sequences: list[StoredSequence]) -> Features:
    dim = sequences[0].features.shape[1]
    with FeatureStore(folder / "store", recipe, versions={}) as store:
        for one in sequences:
            store.stage(replace(one, key=sequence_key(one.sha256, recipe)))
        store.begin([sequence_key(one.sha256, recipe) for one in sequences])
        store.finish()
        shards = {shard.path: shard for shard in store.shards.values()}.values()
        publish(folder / "out", shards, recipe, dim=dim, failures=[], provenance={})
    return Features(folder / "out")


def changed(sequence: StoredSequence, by: float) -> StoredSequence:
    moved = sequence.features.astype(np.float64)
    moved[:, 0] += by
    return replace(sequence, features=moved.astype(sequence.features.dtype))


@pytest.fixture
def compared(tmp_path: Path, recipe: Recipe) -> Diff:
    names = ["a", "b", "c", "d"]
    plain = [make_sequence(name, recipe) for name in names]
    tuned = [changed(one, 0.5 * number) for number, one in enumerate(plain)]
    return diff(
        published(tmp_path / "a", recipe, plain[:3]),
        published(tmp_path / "b", TUNED, tuned[1:]),
    )


def test_videos_and_recipes_are_found_apart(compared: Diff) -> None:
    assert compared.common == 2
    assert (compared.only_a, compared.only_b) == (("videos/a.mp4",), ("videos/d.mp4",))
    assert compared.recipe == {
        "backbone": ("fake", "tuned"),
        "backbone_digest": ("ab" * 32, "cd" * 32),
        "frames.crop": ("face", None),
        "frames.margin": (1.3, None),
        "frames.policy": ("uniform", None),
        "frames.size": (6, 9),
    }


def test_the_most_changed_come_first_and_the_summary_is_of_all(compared: Diff) -> None:
    assert sorted(change.path for change in compared.changes) == ["videos/b.mp4", "videos/c.mp4"]
    distances = [change.mean_distance for change in compared.changes]
    assert distances == sorted(distances, reverse=True)
    assert vars(compared.summary["mean_distance"]) == {
        "mean": pytest.approx(np.mean(distances)),
        "min": min(distances),
        "max": max(distances),
    }


def test_a_change_is_measured_on_means_and_on_frames(recipe: Recipe) -> None:
    a = make_sequence("a", recipe, frames=4)
    b = changed(a, 2.0)
    later = a.timestamps_seconds + np.asarray([0, 0, 9, 9])
    found = video_change(a, replace(b, timestamps_seconds=later), sha256=a.sha256)
    rows_a, rows_b = a.features.astype(float), b.features.astype(float)
    mean_a, mean_b = rows_a.mean(axis=0), rows_b.mean(axis=0)
    length = (np.linalg.norm(mean_a) + np.linalg.norm(mean_b)) / 2
    assert found.mean_distance == pytest.approx(np.linalg.norm(mean_a - mean_b) / length)
    assert found.mean_cosine == pytest.approx(
        mean_a @ mean_b / np.linalg.norm(mean_a) / np.linalg.norm(mean_b)
    )
    cosines = [
        rows_a[n] @ rows_b[n] / np.linalg.norm(rows_a[n]) / np.linalg.norm(rows_b[n])
        for n in (0, 1)
    ]
    assert found.frames == 2
    assert found.frame_cosine == pytest.approx(np.mean(cosines))


def test_the_same_features_do_not_differ(recipe: Recipe) -> None:
    zeros = replace(make_sequence("a", recipe), features=np.zeros((1, 5), np.float16))
    for one in (make_sequence("a", recipe), zeros):
        one = replace(one, timestamps_seconds=np.arange(len(one.features)) * 1.0)
        found = video_change(one, one, sha256=one.sha256)
        measured = (
            found.mean_cosine,
            found.mean_distance,
            found.frame_cosine,
            found.frame_distance,
        )
        assert measured == (1.0, 0.0, 1.0, 0.0)
        assert found.frames == len(one.features)


def test_without_a_common_frame_the_frames_say_nothing(recipe: Recipe) -> None:
    a = make_sequence("a", recipe)
    found = video_change(
        a, replace(a, timestamps_seconds=a.timestamps_seconds + 100), sha256=a.sha256
    )
    assert found.frames == 0
    assert found.frame_cosine is None
    assert found.mean_cosine == 1.0


def test_embeddings_of_other_lengths_are_not_compared(tmp_path: Path, recipe: Recipe) -> None:
    found = diff(
        published(tmp_path / "a", recipe, [make_sequence("a", recipe)]),
        published(tmp_path / "b", TUNED, [make_sequence("a", TUNED, dim=7)]),
    )
    assert (found.common, found.changes, found.summary) == (1, (), {})
    assert found.recipe["dim"] == (5, 7)


def test_differences_of_nested_facts() -> None:
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}, "d": None}) == {"a.c": (2, None)}


@given(
    st.integers(1, 4).flatmap(
        lambda dim: st.lists(
            arrays.arrays(
                np.float16,
                st.tuples(st.integers(0, 7), st.just(dim)),
                elements=st.floats(-1000, 1000, width=16),
            ),
            min_size=1,
            max_size=5,
        )
    ),
    st.integers(8, 200),
)
@settings(max_examples=60, deadline=None)
def test_statistics_do_not_depend_on_the_pieces(rows: list[np.ndarray], chunk_bytes: int) -> None:
    found = statistics(rows, chunk_bytes=chunk_bytes)
    everything = np.concatenate(rows).astype(np.float64)
    if not len(everything):
        assert found is None
        return
    assert found is not None
    assert found.frames == len(everything)
    np.testing.assert_allclose(found.mean, everything.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(found.std, everything.std(axis=0), atol=1e-6)
    np.testing.assert_array_equal(found.smallest, everything.min(axis=0))
    np.testing.assert_array_equal(found.largest, everything.max(axis=0))
    assert found.dead == int((everything == everything[0]).all(axis=0).sum())


def test_a_spread_far_from_zero_is_exact() -> None:
    rows = np.random.default_rng(0).normal(30000, 16, (5000, 3)).astype(np.float16)
    found = statistics([rows], chunk_bytes=1000)
    assert found is not None
    np.testing.assert_allclose(found.std, rows.astype(np.float64).std(axis=0), rtol=1e-9)
