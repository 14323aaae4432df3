"""OpenVINO: TensorFlow's numbers, under the same digest, and a clear word where it is missing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ToolError
from models.backbones.encoder import make_encoder, openvino_encoder
from models.backbones.openvino_encoder import OpenVinoEncoder
from models.backbones.registry import Backbone, load_backbone
from models.backbones.tensorflow_encoder import TensorFlowEncoder


@pytest.mark.parametrize("name", ["resnet50-thin", "resnet50-random"])
def test_equals_tensorflow(name: str, crops: NDArray[np.uint8]) -> None:
    backbone = load_backbone(name, size=64)
    ours, theirs = (
        openvino_encoder(backbone, batch_size=4),
        TensorFlowEncoder(backbone, batch_size=4),
    )
    assert (ours.digest, ours.dim) == (theirs.digest, theirs.dim)
    mine, other = ours(crops), theirs(crops)
    assert mine.dtype == np.float32
    assert np.abs(mine - other).max() < 1e-3 * np.abs(other).max()
    np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5 * np.abs(other).max())


def test_a_row_depends_on_nothing_but_itself(thin: Backbone, crops: NDArray[np.uint8]) -> None:
    encoder = openvino_encoder(thin, batch_size=4)
    padded = np.zeros_like(crops)
    padded[0] = crops[0]
    first = encoder(crops)
    np.testing.assert_array_equal(encoder(padded)[0], first[0])
    np.testing.assert_array_equal(encoder(crops), first)
    np.testing.assert_array_equal(openvino_encoder(thin, batch_size=4)(crops), first)


def test_a_result_outlives_the_next_call(thin: Backbone, crops: NDArray[np.uint8]) -> None:
    encoder = openvino_encoder(thin, batch_size=4)
    first = encoder(crops)
    kept = first.copy()
    encoder(crops[::-1].copy())
    np.testing.assert_array_equal(first, kept)


def test_auto_takes_what_is_installed(thin: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_encoder(thin, batch_size=4), OpenVinoEncoder)
    monkeypatch.setattr("models.backbones.encoder.has_openvino", lambda: False)
    monkeypatch.setattr("models.backbones.openvino_encoder.has_openvino", lambda: False)
    assert isinstance(make_encoder(thin, batch_size=4), TensorFlowEncoder)
    with pytest.raises(ToolError, match="pip install"):
        make_encoder(thin, batch_size=4, runtime="openvino")


def test_bfloat16_is_another_arithmetic_and_nearly_the_same_embedding(
    thin: Backbone, crops: NDArray[np.uint8]
) -> None:
    exact = openvino_encoder(thin, batch_size=4)(crops)
    rounded = openvino_encoder(thin, batch_size=4, precision="bfloat16")(crops)
    assert np.abs(exact - rounded).max() > 1e-4 * np.abs(exact).max()
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1)
    assert ((exact * rounded).sum(axis=1) / lengths).min() > 0.999
