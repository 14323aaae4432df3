"""The backbone as a fast, fixed function: what stage one runs on every frame.

`features.embed` asks for a callable with `digest`, `dim` and `batch_size`, and knows no TensorFlow.
Weights become constants of the graph, so that TensorFlow folds and fuses them once; the batch size
is fixed, so that the same frame gives the same bytes whatever videos share its batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.backbone import Backbone
from models.quiet import tf


class TensorFlowEncoder:
    """Embeds face crops with a backbone; an `Encoder` of `features.embed`.

    Args:
        backbone: the network; its weights are copied, later changes have no effect here.
        batch_size: rows of every call.

    Attributes:
        digest: the backbone's digest.
        dim: D, length of one embedding.
        batch_size: rows that every call must have.
    """

    def __init__(self, backbone: Backbone, *, batch_size: int = 32) -> None:
        from tensorflow.python.framework.convert_to_constants import (
            convert_variables_to_constants_v2,
        )

        self.digest = backbone.digest
        self.dim = backbone.dim
        self.batch_size = batch_size
        self._shape = (batch_size, backbone.size, backbone.size, 3)
        traced = tf.function(lambda frames: backbone.model(frames, training=False))
        frames = tf.TensorSpec(self._shape, tf.uint8)
        self._graph = convert_variables_to_constants_v2(traced.get_concrete_function(frames))

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeds one full batch.

        Args:
            frames: (batch_size, S, S, 3) uint8 RGB.

        Returns:
            (batch_size, D) float32.
        """
        if frames.shape != self._shape or frames.dtype != np.uint8:
            raise ValueError(
                f"frames must be uint8 {self._shape}, got {frames.dtype} {frames.shape}"
            )
        (embeddings,) = self._graph(tf.constant(frames))
        return np.asarray(embeddings.numpy(), dtype=np.float32)
