"""Exported heads: every kind, every calibration, as unmask scores them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.applicability.novelty import EXPONENT
from models.evaluation.calibration import Calibration
from models.export.check import RATIOS, judged_features, run
from models.export.onnx_model import OnnxModel, head_model
from models.network_weights import NetworkWeights, thin_weights
from tests import requirements
from tests.models.conftest import SHAPES, SIZE
from tests.models.export.bundles import (
    ISOTONIC,
    TEMPERATURE,
    bundle_of,
    head_of,
    made_up_novelty,
    made_up_ratio,
)


@pytest.fixture(autouse=True)
def _needed() -> None:
    requirements.module("onnxruntime")


DIM = 1024
COUNT = 200


@pytest.fixture(scope="module")
def network() -> NetworkWeights:
    return NetworkWeights(architecture="resnet50-thin", arrays=thin_weights(), size=SIZE)


@pytest.fixture(scope="module")
def videos() -> dict[str, Any]:
    """COUNT sequences of 1 to 13 frames, some with gaps, and rubbish where there is no frame."""
    draw = np.random.default_rng(2)
    mask = np.arange(13) < draw.integers(1, 14, COUNT)[:, None]
    mask[::9, 3:5] = False
    clip = draw.standard_normal((COUNT, 1, DIM))
    features = np.maximum(0.6 + clip + 0.5 * draw.standard_normal((COUNT, 13, DIM)), 0)
    features[~mask] = np.nan
    return {"features": features.astype(np.float16), "mask": mask}


def compared(bundle: Any, network: NetworkWeights, videos: dict[str, Any]) -> dict[str, Any]:
    """What unmask tells, once the exported head tells the same."""
    model: OnnxModel = head_model(bundle, network, precision="float32", facts={"version": "1"})
    told = judged_features(bundle, videos["features"], videos["mask"])
    inputs = {"embeddings": videos["features"].astype(np.float32), "mask": videos["mask"]}
    found = run(model, inputs)
    assert set(found) == {*told, "verdict"}
    for name, own in told.items():
        np.testing.assert_allclose(found[name], own, atol=1e-4, rtol=0, err_msg=name)
    return found | {"own": told}


@pytest.mark.parametrize("condition", ["none", "pca", "layernorm_l2"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_head_of_every_kind(
    shape: str, condition: str, network: NetworkWeights, videos: dict[str, Any]
) -> None:
    frames = videos["features"][videos["mask"]].astype(np.float64)
    if shape == "statistics" and condition != "none":
        condition = "layernorm_l2"
    head = head_of(shape, frames, condition=condition)
    novelty = made_up_novelty(frames.mean(0), threshold=200.0)
    found = compared(bundle_of(head, DIM, novelty=novelty), network, videos)
    assert np.ptp(found["own"]["probability_fake"]) > 0.02  # or anything would be equal


def test_a_residual_that_was_left_out(network: NetworkWeights, videos: dict[str, Any]) -> None:
    frames = videos["features"][videos["mask"]].astype(np.float64)
    head = head_of("residual lstm", frames)
    last = replace(
        head.model.layers[-1], weights=tuple(0 * one for one in head.model.layers[-1].weights)
    )
    linear = replace(head, model=replace(head.model, layers=(*head.model.layers[:-1], last)))
    whole = head_model(bundle_of(head, DIM), network, precision="float32", facts={"version": "1"})
    less = head_model(bundle_of(linear, DIM), network, precision="float32", facts={"version": "1"})
    assert b"Scan" in whole.content
    assert b"Scan" not in less.content
    compared(bundle_of(linear, DIM), network, videos)


@pytest.mark.parametrize(
    "calibration", [Calibration(), TEMPERATURE, ISOTONIC, replace(ISOTONIC, knots=((0.4, 0.3),))],
    ids=["none", "temperature", "isotonic", "one knot"],
)  # fmt: skip
def test_every_calibration(
    calibration: Calibration, network: NetworkWeights, videos: dict[str, Any]
) -> None:
    frames = videos["features"][videos["mask"]].astype(np.float64)
    head = head_of("mean", frames, calibration=calibration)
    found = compared(bundle_of(head, DIM), network, videos)
    own = found["own"]["probability_fake"]
    for row, score in enumerate(own.tolist()):
        near = [abs(score - at) for at in (0.5, calibration.unsure_low, calibration.unsure_high)
                if at is not None]  # fmt: skip
        if min(near) > 1e-4:
            wanted = calibration.verdict(score, 0.5)
            assert {1: "FAKE", 0: "REAL", -1: "UNSURE"}[int(found["verdict"][row])] == wanted


@pytest.mark.parametrize("draws", [0, 1, 2, 37, 200])
def test_the_ratio_told_is_the_end_nearest_to_one(
    draws: int, network: NetworkWeights, videos: dict[str, Any]
) -> None:
    frames = videos["features"][videos["mask"]].astype(np.float64)
    head = replace(head_of("mean", frames), likelihood_ratio=made_up_ratio(draws))
    found = compared(bundle_of(head, DIM), network, videos)
    assert (found["log10_lr"] > 0).any()
    assert (found["log10_lr"] < 0).any()


def test_a_novel_sequence_has_no_ratio(network: NetworkWeights, videos: dict[str, Any]) -> None:
    frames = videos["features"][videos["mask"]].astype(np.float64)
    head = head_of("mean", frames)
    bundle = bundle_of(head, DIM, novelty=made_up_novelty(frames.mean(0), threshold=200.0))
    distance = compared(bundle, network, videos)["novelty"]
    bundle = replace(bundle, novelty=made_up_novelty(frames.mean(0), 200 * np.median(distance)))
    found = compared(bundle, network, videos)
    novel = found["novelty"] > 1
    assert 0 < novel.sum() < COUNT
    assert (found["verdict"][novel] == -1).all()
    for name in RATIOS:
        np.testing.assert_array_equal(np.isnan(found[name]), novel)


@pytest.mark.parametrize("exponent", [0.0, EXPONENT])
def test_novelty_of_this_and_of_earlier_versions(
    network: NetworkWeights, videos: dict[str, Any], exponent: float
) -> None:
    frames = videos["features"][videos["mask"]].astype(np.float64)
    novelty = made_up_novelty(frames.mean(0), 1.0, exponent)
    found = compared(bundle_of(head_of("mean", frames), DIM, novelty=novelty), network, videos)
    assert np.ptp(found["novelty"]) > 0.01 * found["novelty"].mean()


def test_a_bundle_that_cannot_tell_them_has_no_such_outputs(
    network: NetworkWeights, videos: dict[str, Any]
) -> None:
    frames = videos["features"][videos["mask"]].astype(np.float64)
    found = compared(bundle_of(head_of("mean", frames, ratio=False), DIM), network, videos)
    assert set(found) == {"probability_fake", "verdict", "own"}


def test_batch_and_length_are_any(network: NetworkWeights, videos: dict[str, Any]) -> None:
    frames = videos["features"][videos["mask"]].astype(np.float64)
    bundle = bundle_of(head_of("residual bilstm", frames), DIM)
    for count, steps in ((1, 1), (1, 13), (3, 2)):  # shorter than the longest stride, too
        part = {name: one[:count, :steps] for name, one in videos.items()}
        compared(bundle, network, part)
