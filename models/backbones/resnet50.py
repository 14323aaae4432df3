"""ResNet50 of `keras.applications`, with its preprocessing: built, and with ImageNet's weights."""

from __future__ import annotations

import re
import socket
from typing import Any

import numpy as np

from data.errors import ToolError
from models.backbones.fingerprint import imagenet_path
from models.backbones.preprocessing import CaffeInput
from models.network_weights import MEANS_BGR
from models.tf_runtime import keras

MEAN_BGR = MEANS_BGR["resnet50"]
"""ImageNet's mean, which is subtracted."""


def build_resnet50(size: int, weights: str | None = None) -> Any:
    """`keras.applications.ResNet50` with its preprocessing inside: (B, size, size, 3) -> (B, 2048).

    `weights` is as in keras.applications; None leaves Keras's own random ones.
    """
    inputs = keras.Input((size, size, 3), name="frames")
    prepared = CaffeInput(mean_bgr=MEAN_BGR, name="preprocess")(inputs)
    plain = keras.applications.ResNet50(
        include_top=False, pooling="avg", weights=weights, input_tensor=prepared
    )
    return keras.Model(inputs, plain.output, name="resnet50")


def load_imagenet(size: int) -> Any:
    """ResNet50 with ImageNet weights, which Keras fetches once and keeps."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # Keras sets none, and would hang behind a silent firewall
    try:
        return build_resnet50(size, weights="imagenet")
    except Exception as error:  # Keras raises a bare Exception when a download fails
        wanted = imagenet_path()
        raise ToolError(
            f"cannot fetch the ImageNet weights ({' '.join(str(error).split())}); put the file "
            f"{wanted.name} from "
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/ into the folder "
            f"{wanted.parent}, or give its path as the backbone, or take resnet50-thin, which "
            "needs no download"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def load_random(size: int, seed: int) -> Any:
    """ResNet50 with seeded random weights whose embeddings stay of order one.

    NumPy draws them, so that they outlive a change of Keras's initialisers. He normal (He et al.,
    2015); the last normalisation of each block is damped, or the variance would double 16 times.
    """
    model = build_resnet50(size)
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        kind = weight.path.rsplit("/", 1)[-1]
        shape = tuple(weight.shape)
        if kind == "kernel":
            value = draw.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
        elif kind == "gamma":
            value = np.full(shape, 0.25 if weight.path.endswith("_3_bn/gamma") else 1.0)
        elif kind == "moving_variance":
            # Pixels vary by some 60 grey levels around the mean.
            value = np.full(shape, 2 * 60.0**2 if weight.path.startswith("conv1") else 1.0)
        else:
            value = np.zeros(shape)
        weight.assign(value.astype(np.float32))
    return model


def residual_blocks(model: Any) -> list[list[Any]]:
    """The 16 residual blocks of a ResNet50, each a list of layers, first to last."""
    blocks: dict[str, list[Any]] = {}
    for layer in model.layers:
        match = re.match(r"conv[2-5]_block\d+_", layer.name)
        if match:
            blocks.setdefault(match.group(), []).append(layer)
    return [blocks[name] for name in sorted(blocks)]
