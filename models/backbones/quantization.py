"""A backbone quantized to int8 by NNCF's post-training quantization, and its digest.

Weights and activations get scales, which are fitted once on calibration frames: face crops of
training videos (Jacob et al., 2018). The quantized network is a backbone of its own, kept in
OpenVINO's form beside the weights it was made of; its digest covers the scales. NNCF is needed to
make it, OpenVINO alone to run it.
"""

from __future__ import annotations

import logging
import os
from contextlib import redirect_stdout
from dataclasses import replace
from importlib.util import find_spec
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError, ToolError
from data.io.progress import log
from models.backbones.encoder import openvino_network
from models.backbones.network_digest import quantized_digest
from models.backbones.openvino_encoder import core, serialized
from models.backbones.registry import Backbone

SUFFIX = "-int8"
"""Of a quantized backbone's name."""

FRAMES = 300
"""Calibration frames; NNCF's own default."""


def quantize(backbone: Backbone, frames: NDArray[np.uint8]) -> Backbone:
    """Quantizes a backbone; the same frames and machine give the same network.

    Args:
        backbone: in floating point.
        frames: (N, S, S, 3) face crops of training videos, which the scales are fitted to.

    Returns:
        A backbone with `quantized` set, a name and a digest of its own.

    Raises:
        ConfigError: it is quantized already, or a custom model.
        ToolError: NNCF or OpenVINO is not installed, or cannot quantize this network.
    """
    check_quantizable(backbone)
    os.environ.setdefault("NNCF_CI", "1")  # or it reports its use over the network
    import nncf

    nncf.set_log_level(logging.ERROR)
    network = openvino_network(backbone)
    model: Any = core().read_model(network.xml, network.weights)
    dataset = nncf.Dataset([frames[row : row + 1] for row in range(len(frames))])
    # Without it sums of products saturate at 16 bits on processors that have no VNNI, so that they
    # give other embeddings (cosine 0.9997): weights get half of their range, and all give the same
    # bytes. It costs 0.0003 of the cosine with float32 (0.9964 for 0.9967, resnet50-thin).
    parameters = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)
    log.info(f"fitting the scales of {backbone.name} to {len(frames)} frames")
    try:
        with redirect_stdout(StringIO()):  # its progress bars
            quantized = nncf.quantize(
                model, dataset, subset_size=len(frames), advanced_parameters=parameters
            )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ToolError(f"NNCF cannot quantize {backbone.name} ({reason})") from error
    kept = serialized(quantized)
    return replace(
        backbone,
        name=f"{backbone.name}{SUFFIX}",
        digest=quantized_digest(backbone.digest, kept.sha256s),
        quantized=kept,
    )


def check_quantizable(backbone: Backbone) -> None:
    """Refuses what `quantize` cannot do, before any work.

    Raises:
        ConfigError, ToolError: as `quantize`.
    """
    if backbone.quantized is not None:
        raise ConfigError(f"{backbone.name} is quantized already; give the backbone it was made of")
    if backbone.architecture == "custom":
        raise ConfigError(
            f"{backbone.name} is a custom model; quantizing needs a ResNet50 or resnet50-thin"
        )
    if find_spec("nncf") is None:
        raise ToolError("NNCF is not installed: pip install 'unmask[int8]'")
