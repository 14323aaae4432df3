"""Padded batches: each video's rows, its mask, and the labels of this manifest."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.sequences.dataset import load_sequences
from features.store.feature_set import Features, publish
from features.store.key import sequence_key
from features.store.store import FeatureStore
from tests.features.conftest import digest_of, make_recipe, make_sequence

NAMES = [f"video-{number}" for number in range(9)]


@dataclass(frozen=True)
class Row:
    path: str
    label: int
    group: str
    method: str
    sha256: str
    original: str = ""


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


LIMITED = """
import resource, sys
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from features.store.feature_set import Features
from features.sequences.dataset import load_sequences
from models.evaluation.baselines import pooled

@dataclass
class Row:
    sha256: str
    path: str = ""
    label: int = 0
    group: str = ""
    method: str = ""
    original: str = ""

status = Path("/proc/self/status").read_text().split()
held = int(status[status.index("VmData:") + 1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (held + (24 << 20),) * 2)
features = Features(Path(sys.argv[1]))
loaded = load_sequences(features, [Row(sha256) for sha256 in features.sha256s])
means = pooled(loaded.features, loaded.mask)
batch = np.empty((16, *loaded.features.shape[1:]), loaded.features.dtype)
for epoch in range(2):
    order = np.random.default_rng(epoch).permutation(len(loaded))
    for rows in order.reshape(-1, 16):
        loaded.features.gather(rows, batch)
        assert np.all(batch.mean(axis=(1, 2), dtype=np.float64).round(2) == means[rows, 0].round(2))
try:
    loaded.features[:]
except MemoryError:
    print("all at once are too many")
"""


def test_features_may_be_larger_than_memory(tmp_path: Path) -> None:
    """48 MiB of them, where a process may take 24 MiB more than it starts with."""
    recipe, names = make_recipe(), [f"large-{number}" for number in range(48)]
    with FeatureStore(tmp_path / "store", recipe, versions={}) as store:
        store.begin([sequence_key(digest_of(name), recipe) for name in names])
        for number, name in enumerate(names):
            one = make_sequence(name, recipe, frames=256, dim=1)
            store.stage(replace(one, features=np.full((256, 2048), number, np.float16)))
        store.finish()
        shards = {shard.path: shard for shard in store.shards.values()}.values()
        publish(tmp_path / "out", shards, recipe, dim=2048, failures=[], provenance={})
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "out")],
        capture_output=True, text=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "all at once are too many\n"
