"""The backbones as a graph: face crops to embeddings, in ONNX's operators.

Both have the layers of ResNet50 (He et al., 2015) under the names of `keras.applications`; the thin
one has no normalisations, pads its pooling at the far side alone and is half as wide, which its
weights say. A normalisation becomes a part of the convolution before it, and RGB to BGR a part of
the first one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.export.graph import FLOAT, Graph
from models.network_weights import BLOCKS, MEANS_BGR, NetworkWeights

EPSILON = 1.001e-5
"""Of the normalisations in `keras.applications.ResNet50`."""


def add_backbone(graph: Graph, frames: str, network: NetworkWeights, *, half: bool) -> str:
    """(N, S, S, 3) uint8 RGB -> (N, D) float32.

    With `half`, kernels are kept as float16, which halves the file; the arithmetic stays float32,
    since x86 processors have no other for it, and activations may exceed float16's range.
    """
    mean_rgb = np.asarray(MEANS_BGR[network.architecture][::-1], np.float32)
    x = graph.binary("Sub", graph.cast(frames, FLOAT), mean_rgb)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    build = _Convolutions(graph, network, half=half)
    x = graph.add("Relu", build.convolution(x, "conv1", stride=2, padding=3, flipped=True))
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=_pool_pads(network))
    for stage, blocks in BLOCKS.items():
        for block in range(1, blocks + 1):
            first = block == 1
            stride = 2 if first and stage > 2 else 1
            x = build.block(x, f"conv{stage}_block{block}", stride=stride, projects=first)
    return graph.add("Flatten", graph.add("GlobalAveragePool", x))


def _pool_pads(network: NetworkWeights) -> list[int]:
    """Top, left, bottom and right of the first pooling."""
    if network.architecture == "resnet50":
        return [1, 1, 1, 1]
    size = (network.size - 1) // 2 + 1  # after the first convolution
    total = max(2 * ((size + 1) // 2 - 1) + 3 - size, 0)  # Keras's "same"
    near = total // 2
    return [near, near, total - near, total - near]


class _Convolutions:
    """Convolutions with their normalisation."""

    def __init__(self, graph: Graph, network: NetworkWeights, *, half: bool) -> None:
        self._graph = graph
        self._weights = network.arrays
        self._normalised = network.architecture == "resnet50"
        self._half = half

    def convolution(
        self, x: str, name: str, *, stride: int = 1, padding: int = 0, flipped: bool = False
    ) -> str:
        """One convolution; `flipped` exchanges the first and last channel of its input."""
        kernel, bias = self._folded(name)
        if flipped:
            kernel = kernel[:, :, ::-1]
        arranged = np.ascontiguousarray(np.transpose(kernel, (3, 2, 0, 1)))  # HWIO -> OIHW
        return self._graph.add(
            "Conv",
            x,
            self._kernel(arranged),
            self._graph.constant(bias),
            kernel_shape=list(kernel.shape[:2]),
            strides=[stride, stride],
            pads=[padding] * 4,
        )

    def block(self, x: str, name: str, *, stride: int, projects: bool) -> str:
        """One bottleneck: 1x1 down, 3x3, 1x1 up, plus the input or its projection."""
        graph = self._graph
        kept = self.convolution(x, f"{name}_0", stride=stride) if projects else x
        x = graph.add("Relu", self.convolution(x, f"{name}_1", stride=stride))
        x = graph.add("Relu", self.convolution(x, f"{name}_2", padding=1))
        return graph.add("Relu", graph.add("Add", kept, self.convolution(x, f"{name}_3")))

    def _kernel(self, kernel: NDArray[np.float64]) -> str:
        if not self._half:
            return self._graph.constant(kernel)
        return self._graph.cast(self._graph.constant(kernel, np.float16), FLOAT)

    def _folded(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Kernel and bias, the normalisation that follows folded in."""
        kernel, bias = (
            self._weights[f"{name}_conv/{key}"].astype(np.float64) for key in ("kernel", "bias")
        )
        if not self._normalised:
            return kernel, bias
        gamma, beta, mean, variance = (
            self._weights[f"{name}_bn/{key}"].astype(np.float64)
            for key in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        return kernel * scale, (bias - mean) * scale + beta
