"""Conditioned features: the map, its layer, its cache, and heads that are trained on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from data.errors import ConfigError, DatasetError
from features.sequences.dataset import Sequences
from features.sequences.padded import Padded
from models.conditioning import cache as cached_module
from models.conditioning import linear_map
from models.conditioning.cache import KEPT, RECORD, condition
from models.conditioning.linear_map import Conditioning
from models.configs import ConditionConfig, HeadConfig, TrainConfig
from models.heads.architectures import KINDS, build_head
from models.heads.files import save_model
from models.heads.training import score, train_head
from models.tf_runtime import keras
from tests.models.conftest import made_up

KINDS_OF_MAP = ("pca", "pca_whiten", "layernorm_l2")
DIM = 12


def sequences(count: int = 40, *, views: int = 1, seed: int = 0) -> Sequences:
    """Videos of 3 to 6 frames whose dimensions vary together, alternately real and fake."""
    made = made_up(count, signal=4.0, dim=DIM, seed=seed)
    mixing = np.random.default_rng(9).standard_normal((DIM, DIM))
    rows = [
        (one[exists] @ mixing).astype(np.float16)
        for one, exists in zip(made.features, made.mask, strict=True)
    ]
    names = tuple(f"{seed}-{number}" for number in range(count))
    every = [one + np.float16(view) for view in range(views) for one in rows]
    return Sequences(
        features=Padded(rows, dim=DIM, dtype="float16"),
        mask=made.mask,
        labels=made.labels,
        groups=names,
        methods=names,
        paths=names,
        sha256s=names,
        views=Padded(every, dim=DIM, dtype="float16") if views > 1 else None,
    )  # fmt: skip


def frames_of(one: Sequences) -> NDArray[np.float64]:
    return one.features[:][one.mask].astype(np.float64)


def fit(kind: str, dimensions: int = 5, one: Sequences | None = None) -> Conditioning:
    one = one or sequences()
    return Conditioning.fit(
        one.features, one.mask, ConditionConfig(kind=kind, dimensions=dimensions)
    )


@pytest.mark.parametrize("whiten", [False, True])
def test_pca_is_that_of_scikit_learn_on_standardised_frames(whiten: bool) -> None:
    frames = frames_of(sequences())
    standard = (frames - frames.mean(0)) / frames.std(0)
    theirs = PCA(5, whiten=whiten).fit(standard)
    mine = fit("pca_whiten" if whiten else "pca")
    wanted = theirs.transform(standard)
    if whiten:  # they divide by the deviation of a sample
        wanted *= np.sqrt(len(frames) / (len(frames) - 1))
    np.testing.assert_allclose(np.abs(mine.transform(frames)), np.abs(wanted), atol=2e-3)
    assert mine.explained == pytest.approx(theirs.explained_variance_ratio_.sum(), abs=1e-4)


def test_layernorm_l2_takes_no_notice_of_a_frame_s_brightness_and_contrast() -> None:
    mine, frames = fit("layernorm_l2"), frames_of(sequences())
    np.testing.assert_allclose(mine.transform(frames * 3 + 7), mine.transform(frames), atol=1e-3)
    assert np.square(mine.transform(frames)).mean() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS_OF_MAP)
def test_padding_and_company_change_nothing(kind: str) -> None:
    one = sequences()
    mine = fit(kind)
    padded = np.asarray(one.features[:])
    padded[~one.mask] = 60000  # never read
    again = Conditioning.fit(padded, one.mask, ConditionConfig(kind=kind, dimensions=5))
    np.testing.assert_allclose(again.matrix, mine.matrix, atol=1e-5)
    small = mine.transform_sequences(one)
    assert small.features.shape == (40, 6, 5)
    assert not small.features[:][~one.mask].any()
    np.testing.assert_array_equal(mine.transform_rows(padded, one.mask)[:], small.features[:])


@pytest.mark.parametrize("kind", KINDS_OF_MAP)
def test_the_same_frames_give_the_same_bytes(kind: str) -> None:
    one, other = fit(kind), fit(kind)
    assert one.matrix.tobytes() == other.matrix.tobytes()
    largest = np.abs(one.matrix).argmax(0)
    assert len(largest) == 5


def test_directions_without_variance_are_left_out() -> None:
    flat = np.random.default_rng(0).standard_normal((9, 4, 3)) @ np.ones((3, 8))  # of rank 1
    mine = Conditioning.fit(flat, np.ones((9, 4), bool), ConditionConfig(kind="pca_whiten"))
    assert mine.dimensions == 1
    constant = Conditioning.fit(
        np.ones((9, 4, 8)), np.ones((9, 4), bool), ConditionConfig(kind="pca_whiten")
    )
    assert not constant.transform(np.ones((2, 8))).any()


def test_a_nan_is_one_line() -> None:
    one = made_up(12)
    one.features[0, 0, 0] = np.nan
    with pytest.raises(DatasetError, match="not a number"):
        Conditioning.fit(one.features, one.mask, ConditionConfig(kind="pca"))


@pytest.mark.parametrize("kind", KINDS_OF_MAP)
@pytest.mark.parametrize("head", KINDS)
def test_a_head_reads_embeddings_and_keeps_its_map(kind: str, head: str, tmp_path: Path) -> None:
    """The whole head on embeddings scores as the trained part does on conditioned frames."""
    train, val = sequences(40), sequences(20, seed=1)
    config = HeadConfig(
        kind=head,
        units=8,
        dropout=0.1,
        input_dropout=0.1,
        input_scale=0.5,
        condition=ConditionConfig(kind=kind, dimensions=10),
    )
    trained = train_head(
        train, val, head=config,
        config=TrainConfig(epochs=20, batch_size=8, learning_rate=0.02, patience=20),
    )  # fmt: skip
    assert trained.best["val_auc"] > 0.8
    save_model(trained.model, tmp_path / "head.keras")
    again = keras.saving.load_model(tmp_path / "head.keras", compile=False, safe_mode=True)
    scores = np.asarray(again({"features": val.features[:], "mask": val.mask}))
    np.testing.assert_allclose(scores, score(trained.model, val), atol=1e-5)
    small = condition(train, val, config.condition)
    told = train_head(
        train, val, head=config,
        config=TrainConfig(epochs=20, batch_size=8, learning_rate=0.02, patience=20),
        conditioned=small,
    )  # fmt: skip
    assert told.history == trained.history


def test_a_head_needs_a_map_or_statistics() -> None:
    with pytest.raises(TypeError, match="or a conditioning"):
        build_head(HeadConfig(), dim=4)


def test_a_bad_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"head\.condition\.kind must be none or pca or"):
        ConditionConfig(kind="zca")
    with pytest.raises(ConfigError, match=r"head\.condition\.dimensions must be from 1 to 8192"):
        ConditionConfig(kind="pca", dimensions=0)


WHITEN = ConditionConfig(kind="pca_whiten", dimensions=5)


def cached(folder: Path, config: ConditionConfig = WHITEN, **changes: Any) -> Any:
    train, val = changes.pop("train", sequences(views=2)), sequences(10, seed=1)
    facts = {"features_sha256": "ab", "cache": folder} | changes
    return condition(train, val, config, **facts)


def refuse(*_: Any) -> None:
    raise AssertionError("it was fitted anew")


def test_the_cache_gives_the_same_bytes_without_a_fit(tmp_path: Path, monkeypatch: Any) -> None:
    first = cached(tmp_path)
    monkeypatch.setattr(cached_module, "_fit", refuse)
    again = cached(tmp_path)
    assert again.conditioning.matrix.tobytes() == first.conditioning.matrix.tobytes()
    assert again.conditioning.explained == first.conditioning.explained
    for one, other in zip((first.train, first.val), (again.train, again.val), strict=True):
        np.testing.assert_array_equal(one.features[:], other.features[:])
        assert one.sha256s == other.sha256s
    np.testing.assert_array_equal(first.train.views[:], again.train.views[:])


@pytest.mark.parametrize(
    "changes",
    [
        {"features_sha256": "cd"},
        {"train": sequences(38, views=2)},
        {"config": ConditionConfig(kind="pca", dimensions=5)},
        {"config": ConditionConfig(kind="pca_whiten", dimensions=4)},
    ],
    ids=["another digest", "another split", "another dimension", "another kind"],
)
def test_other_features_splits_or_settings_are_fitted_anew(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    cached(tmp_path)
    monkeypatch.setattr(cached_module, "_fit", refuse)
    with pytest.raises(AssertionError):
        cached(tmp_path, **changes)


@pytest.mark.parametrize("name", [RECORD, "map.npz", "train.npy", "views.npy"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_entry_is_made_anew(name: str, damage: str, tmp_path: Path) -> None:
    first = cached(tmp_path)
    (entry,) = (one.parent for one in tmp_path.glob(f"*/{RECORD}"))
    content = bytearray((entry / name).read_bytes())
    content[len(content) // 2] ^= 255
    if damage == "remove":
        (entry / name).unlink()
    else:
        (entry / name).write_bytes(content if damage == "flip" else content[: len(content) // 2])
    again = cached(tmp_path)
    np.testing.assert_array_equal(first.train.features[:], again.train.features[:])
    assert cached(tmp_path).conditioning.matrix.tobytes() == first.conditioning.matrix.tobytes()


def test_the_cache_stays_small_and_can_be_unwritable(tmp_path: Path) -> None:
    for dimensions in range(1, KEPT + 3):
        cached(tmp_path / "cache", replace_dimensions(dimensions))
    assert len([*(tmp_path / "cache").glob(f"*/{RECORD}")]) == KEPT
    assert len([*(tmp_path / "cache").iterdir()]) == 2 * KEPT  # with a lock each
    (tmp_path / "file").write_text("")
    assert cached(tmp_path / "file").conditioning.dimensions == 5


def replace_dimensions(dimensions: int) -> ConditionConfig:
    return WHITEN.replace(dimensions=dimensions)


def test_views_are_transformed_and_not_fitted_on() -> None:
    plain, viewed = sequences(), sequences(views=3)
    assert fit("pca", one=plain).matrix.tobytes() == fit("pca", one=viewed).matrix.tobytes()
    small = fit("pca").transform_sequences(viewed)
    assert small.views is not None
    assert len(small.views) == 3 * len(plain)
    np.testing.assert_array_equal(small.views[: len(plain)], small.features[:])


def test_views_in_memory_are_transformed_too() -> None:
    viewed = sequences(views=2)
    assert viewed.views is not None
    arrays = replace(viewed, features=viewed.features[:], views=viewed.views[:])
    mine = fit("pca")
    small, other = mine.transform_sequences(arrays), mine.transform_sequences(viewed)
    assert small.views is not None
    assert other.views is not None
    np.testing.assert_array_equal(small.views[:], other.views[:])


def test_a_map_does_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    split = sequences(40)
    monkeypatch.setattr(linear_map, "BLOCK_FRAMES", 16)  # several blocks
    found = []
    for threads in (1, 3):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, count=threads: set(range(count)))
        config = ConditionConfig(kind="pca", dimensions=4)
        found.append(Conditioning.fit(split.features, split.mask, config))
    np.testing.assert_array_equal(found[0].matrix, found[1].matrix)
    np.testing.assert_array_equal(found[0].mean, found[1].mean)
