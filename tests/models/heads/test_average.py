"""Averages over seeds: the mean of the logits of heads that were trained alone, in one head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from data.errors import ConfigError
from features.sequences.dataset import Sequences
from models.bundle import BundledHead
from models.configs import ConditionConfig, HeadConfig, TrainConfig
from models.export.check import judged_features, run
from models.export.onnx_model import head_model
from models.heads.files import load_head, load_model, save_head
from models.heads.inference import HeadNetwork, score
from models.heads.out_of_fold import out_of_fold_scores
from models.heads.training import HeadTrainer, train_head
from models.network_weights import NetworkWeights, thin_weights
from tests import requirements
from tests.models.conftest import SIZE, made_up
from tests.models.export.bundles import bundle_of

CONFIG = TrainConfig(epochs=4, batch_size=8, learning_rate=0.02)
SMALL = HeadConfig(units=5, residual=False)
SHAPES = {
    "lstm": SMALL,
    "bilstm": SMALL.replace(kind="bilstm"),
    "gru": SMALL.replace(kind="gru"),
    "conditioned": SMALL.replace(condition=ConditionConfig(kind="pca", dimensions=4)),
    "residual": HeadConfig(units=5),
}


def splits(signal: float = 1.0) -> tuple[Any, Any]:
    return made_up(24, signal=signal), made_up(16, signal=signal, seed=1)


def sequences(made: Any) -> Sequences:
    """Those of a data set, of which folds are made."""
    named = {name: getattr(made, name) for name in ("features", "mask", "labels", "groups")}
    return Sequences(**named, methods=made.methods, paths=made.paths, sha256s=made.paths)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_mean_of_the_logits(shape: str, tmp_path: Path) -> None:
    train, val = splits()
    head = SHAPES[shape]
    alone = [train_head(train, val, head=head, config=CONFIG, seed=seed) for seed in (3, 4, 5)]
    wanted = np.mean([logit(score(one.model, val)) for one in alone], axis=0)
    found = train_head(train, val, head=head.replace(average=3), config=CONFIG, seed=3)
    np.testing.assert_allclose(logit(score(found.model, val)), wanted, rtol=0, atol=1e-5)
    assert found.best["val_auc"] == pytest.approx(roc_auc_score(val.labels, wanted))
    assert "average of 3 seeds" in found.stop_reason
    facts = save_head(found, tmp_path, "head", dim=8)
    read = load_head(tmp_path, "head", facts, dim=8)
    np.testing.assert_array_equal(score(read, val), score(found.model, val))
    of_keras = score(load_model(tmp_path / "head.keras"), val)
    np.testing.assert_allclose(logit(of_keras), wanted, rtol=0, atol=1e-4)


def test_residuals_that_help_are_averaged() -> None:
    """The order of the frames tells, so that they are kept."""
    train, val = ordered(40, seed=0), ordered(40, seed=1)
    config = CONFIG.replace(epochs=40, patience=40)
    head = HeadConfig(units=5, dropout=0, input_dropout=0, input_scale=1.0)
    alone = [train_head(train, val, head=head, config=config, seed=seed) for seed in (0, 1)]
    assert not any(HeadNetwork.of(one.model).is_linear_alone for one in alone)
    wanted = np.mean([logit(score(one.model, val)) for one in alone], axis=0)
    found = train_head(train, val, head=head.replace(average=2), config=config, seed=0)
    assert found.held_out is None
    of_average = logit(score(found.model, val))
    np.testing.assert_allclose(of_average, wanted, rtol=0, atol=0.01)  # of float32 P near 1


def test_held_out_scores_are_averages_too() -> None:
    train, val = (sequences(one) for one in splits())
    learn = np.arange(40) < 24
    trainers = [
        HeadTrainer(train, val, head=SMALL.replace(average=count), config=CONFIG, seed=seed)
        for count, seed in ((1, 0), (1, 1), (2, 0))
    ]
    for trainer in trainers:
        trainer.fit()
    one, two, both = (logit(each.score_held_out(learn, ~learn)) for each in trainers)
    np.testing.assert_allclose(both, (one + two) / 2, rtol=0, atol=1e-5)
    assert len(out_of_fold_scores(trainers[2], folds=3).scores) > 20


def test_an_average_is_exported_as_any_head() -> None:
    requirements.module("onnxruntime")
    network = NetworkWeights(architecture="resnet50-thin", arrays=thin_weights(), size=SIZE)
    train, val = made_up(24, dim=1024), made_up(16, dim=1024, seed=1)
    head = SMALL.replace(average=2, input_dropout=0)
    trained = train_head(train, val, head=head, config=CONFIG)
    bundle = bundle_of(BundledHead(**vars(trained), threshold=0.5), 1024)
    model = head_model(bundle, network, precision="float32", facts={"version": "1"})
    inputs = {"embeddings": val.features.astype(np.float32), "mask": val.mask}
    told = judged_features(bundle, val.features, val.mask)["probability_fake"]
    np.testing.assert_allclose(run(model, inputs)["probability_fake"], told, atol=1e-4)
    assert np.ptp(told) > 0.01


@pytest.mark.parametrize("kind", ["attention", "logistic"])
def test_a_head_that_cannot_be_averaged_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"head\.average needs head\.kind lstm, bilstm or gru"):
        HeadConfig(kind=kind, average=2)
    assert not HeadConfig(kind="mean", average=2).is_average  # the baseline of such a head


def ordered(count: int, *, seed: int) -> Any:
    """As `made_up` without its signal: real videos rise in one dimension, fakes fall."""
    made = made_up(count, signal=0, seed=seed)
    sign = np.where(made.labels == 1, -1, 1)[:, None]
    features = made.features.astype(np.float64)
    features[..., 0] += sign * 4 * (np.arange(features.shape[1]) - 2.5)
    return replace(made, features=np.where(made.mask[..., None], features, 0).astype(np.float16))
