"""Augmented views: under keys of their own, beside the videos, for training alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import StoreError
from data.faces.crops import Frames
from features.extraction.engine import extract
from features.extraction.summary import ExtractSummary
from features.sequences.dataset import load_sequences
from features.store.feature_set import Features, publish
from features.store.key import sequence_key
from features.store.store import FeatureStore
from features.store.verify import verify
from features.store.views import Views
from tests.features.conftest import (
    FakeEncoder,
    digest_of,
    make_job,
    make_recipe,
    read_fake,
    turned,
)
from tests.features.sequences.test_dataset import row

NAMES = [f"video-{number}" for number in range(6)]
LEARNT = NAMES[:4]
VIEWS = Views(count=3, augmentation={"flip": True})
RECIPE = make_recipe()


def run(root: Path, views: Views, **changes: Any) -> tuple[ExtractSummary, Features]:
    """Extracts all videos, and views of those that are learnt from; publishes them."""
    jobs = [
        replace(make_job(name), views=tuple(range(views.count if name in LEARNT else 1)))
        for name in NAMES
    ]
    with FeatureStore(root / "store", RECIPE, versions={}, shard_bytes=1200) as store:
        options = {"read": read_fake, "encoder": FakeEncoder(), "workers": 2} | changes
        summary = extract(
            jobs, store=store, views=views, augment=turned, show_progress=False, **options
        )
        sha256s = [views.sha256(job.sha256, view) for job in jobs for view in job.views]
        keys = {sequence_key(sha256, RECIPE) for sha256 in sha256s}
        shards = {shard.path: shard for key, shard in store.shards.items() if key in keys}
        publish(root / "out", shards.values(), RECIPE, dim=5, failures=[], provenance={},
                sha256s=sha256s, views=views)  # fmt: skip
    return summary, Features(root / "out")


def shards(root: Path) -> set[str]:
    return {path.name for path in root.glob("**/shards/*.h5")}


def test_keys_and_shards_of_the_videos_are_those_without_views(tmp_path: Path) -> None:
    assert VIEWS.sha256(digest_of("a"), 0) == digest_of("a")
    told = {VIEWS.sha256(digest_of(name), view) for name in "ab" for view in range(3)}
    assert len(told) == 6
    assert Views(count=2, augmentation={}).sha256(digest_of("a"), 1) not in told
    assert Views(count=9, augmentation={"flip": True}).sha256(digest_of("a"), 1) in told
    run(tmp_path / "one", Views())
    summary, _ = run(tmp_path / "three", VIEWS)
    assert (summary.done, summary.augmented, summary.reused) == (6, 8, 0)
    assert shards(tmp_path / "one") < shards(tmp_path / "three")
    assert verify(tmp_path / "three" / "store") == []
    assert verify(tmp_path / "three" / "out") == []


def test_more_views_add_to_what_is_there(tmp_path: Path) -> None:
    run(tmp_path, Views())
    before = shards(tmp_path)
    decoded: list[str] = []

    def read(path: Path) -> Frames:
        decoded.append(path.name)
        return read_fake(path)

    summary, features = run(tmp_path, VIEWS, read=read)
    assert sorted(decoded) == LEARNT  # each once, whatever the number of views
    assert (summary.done, summary.augmented, summary.reused) == (4, 8, 2)
    assert before < shards(tmp_path)
    run(tmp_path / "at_once", VIEWS)
    assert shards(tmp_path / "at_once") == shards(tmp_path)
    again, features = run(tmp_path, VIEWS, read=read)
    assert (again.done, again.augmented, again.reused) == (0, 0, 6)
    assert (len(features), features.augmented) == (6, 8)
    _, fewer = run(tmp_path, replace(VIEWS, count=2))
    assert (len(fewer), fewer.augmented) == (6, 4)


def test_a_run_that_was_broken_off_ends_with_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path / "whole", VIEWS)
    for calls in (3, 9):

        def stop(count: int, at: int = calls) -> None:
            if count == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / str(calls), VIEWS, encoder=FakeEncoder(stop))
        run(tmp_path / str(calls), VIEWS)
        assert shards(tmp_path / str(calls)) == shards(tmp_path / "whole")


def test_views_are_of_their_own_video_and_only_where_they_are_asked_for(tmp_path: Path) -> None:
    _, features = run(tmp_path, VIEWS)
    videos = [row(name) for name in LEARNT]
    assert load_sequences(features, videos).views is None
    loaded = load_sequences(features, videos, views=True)
    assert loaded.views is not None
    assert (len(loaded.views), len(loaded), loaded.viewless) == (12, 4, 0)
    encoder = FakeEncoder()
    for view in range(3):
        for number, name in enumerate(LEARNT):
            frames = read_fake(Path(name))
            pixels = turned(frames, digest_of(name), view).pixels if view else frames.pixels
            batch = np.zeros((encoder.batch_size, *pixels.shape[1:]), np.uint8)
            batch[0] = pixels[-1]
            last = int(loaded.mask[number].sum()) - 1
            got = loaded.views[view * 4 + number][last]
            np.testing.assert_array_equal(got, encoder(batch)[0].astype(np.float16))
    np.testing.assert_array_equal(loaded.views[:4], loaded.features[:])
    # A video that came into the training split later shows its clean features.
    both = load_sequences(features, [row(LEARNT[0]), row(NAMES[5])], views=True)
    assert both.viewless == 1
    assert both.views is not None
    np.testing.assert_array_equal(both.views[3], both.features[1])
    assert load_sequences(features, [row(NAMES[5])], views=True).views is None


@pytest.mark.parametrize("facts", [{}, {"count": 0, "augmentation": {}}, {"count": "2"}, []])
def test_an_index_with_other_views_is_refused(facts: Any) -> None:
    with pytest.raises(StoreError):
        Views.from_json(facts)


def test_a_view_without_a_way_to_make_it_is_our_bug(tmp_path: Path) -> None:
    with (
        FeatureStore(tmp_path, RECIPE, versions={}) as store,
        pytest.raises(ValueError, match="needs a way to augment"),
    ):
        extract([replace(make_job("a"), views=(0, 1))], read=read_fake, encoder=FakeEncoder(),
                store=store, workers=1, show_progress=False)  # fmt: skip
