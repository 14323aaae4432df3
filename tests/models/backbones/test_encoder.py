"""The encoder: the backbone's numbers, whatever else is in the batch, and no chatter."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from models.backbones.registry import Backbone
from models.backbones.tensorflow_encoder import TensorFlowEncoder


def test_equals_the_model(thin: Backbone, crops: NDArray[np.uint8]) -> None:
    encoder = TensorFlowEncoder(thin, batch_size=4)
    assert (encoder.digest, encoder.dim, encoder.batch_size) == (thin.digest, 1024, 4)
    embeddings = encoder(crops)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, thin.model(crops), atol=1e-5)


def test_a_row_does_not_depend_on_its_neighbours(thin: Backbone, crops: NDArray[np.uint8]) -> None:
    encoder = TensorFlowEncoder(thin, batch_size=4)
    padded = np.zeros_like(crops)
    padded[0] = crops[0]
    np.testing.assert_array_equal(encoder(padded)[0], encoder(crops)[0])


def test_refuses_another_shape(thin: Backbone, crops: NDArray[np.uint8]) -> None:
    encoder = TensorFlowEncoder(thin, batch_size=4)
    with pytest.raises(ValueError, match="frames must be uint8"):
        encoder(crops[:3])
    with pytest.raises(ValueError, match="frames must be uint8"):
        encoder(crops.astype(np.float32))  # type: ignore[arg-type]


def test_tensorflow_is_quiet() -> None:
    code = "from models.tf_runtime import tf; tf.function(lambda x: x + 1)(tf.constant(1))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert ended.stderr == ""
