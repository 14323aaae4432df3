"""Whether an exported file gives what unmask gives: both judge the same made-up sequences.

unmask's side is its own encoder in float32 and its head in NumPy; the file's is onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import ToolError
from features.extraction.batches import Encoder
from models.bundle import Bundle
from models.export.onnx_model import RATIOS, OnnxModel
from models.heads.inference import HeadNetwork

TOLERANCE = 1e-4
"""Of P(fake)."""
OTHERS = 1e-2
"""Of the logarithms and the novelty, in which the rounding of features to float16 is larger."""
LENGTHS = (7, 1, 4, 8)
"""Frames of the sequences that are compared."""

Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The largest differences between a file and unmask."""

    sequences: int  # that were compared
    # name of an output -> largest absolute difference; without those that no sequence has
    differences: dict[str, float]

    @property
    def equal(self) -> bool:
        """Whether all outputs are."""
        return all(
            one <= (TOLERANCE if name == "probability_fake" else OTHERS)
            for name, one in self.differences.items()
        )


def has_onnxruntime() -> bool:
    """Whether onnxruntime is installed; it is not imported."""
    return find_spec("onnxruntime") is not None


def made_up(size: int, *, count: int = len(LENGTHS), seed: int = 0) -> tuple[Any, Any]:
    """Smooth pictures (B, T, S, S, 3) uint8 that move, and their mask (B, T).

    Past the end of a sequence there is noise, which must not count.
    """
    draw = np.random.default_rng(seed)
    lengths = np.resize(LENGTHS, count)
    steps = int(lengths.max())
    mask = np.arange(steps) < lengths[:, None]
    frames = draw.integers(0, 256, (count, steps, size, size, 3), np.uint8)
    y, x = np.mgrid[:size, :size] / size
    for row, column in zip(*np.nonzero(mask), strict=True):
        phase = draw.uniform(0, 6, 3) + 0.3 * column
        wave = [np.sin(3 * (row % 5) * x + 4 * y + one) for one in phase]
        frames[row, column] = np.clip(127 + 90 * np.stack(wave, -1), 0, 255)
    return frames, mask


def judged_by_unmask(bundle: Bundle, encoder: Encoder, frames: Any, mask: Any) -> Outputs:
    """What `predict` says of face crops (B, T, S, S, 3) where mask (B, T) is true."""
    batch = np.zeros((encoder.batch_size, *frames.shape[2:]), np.uint8)
    present = frames[mask]
    features = np.zeros((*mask.shape, bundle.dim), bundle.recipe["dtype"])
    found = []
    for start in range(0, len(present), encoder.batch_size):
        part = present[start : start + encoder.batch_size]
        batch[: len(part)] = part
        found.append(encoder(batch)[: len(part)])
    features[mask] = np.concatenate(found)
    return judged_features(bundle, features, mask)


def judged_features(bundle: Bundle, features: Any, mask: Any) -> Outputs:
    """The same from embeddings (B, T, D)."""
    raw = HeadNetwork.of(bundle.head.model)({"features": features, "mask": mask})
    probability = bundle.head.calibration.apply(raw.astype(np.float64))
    told: Outputs = {"probability_fake": probability}
    if bundle.head.likelihood_ratio is not None:
        ratio = bundle.head.likelihood_ratio
        ratios = np.asarray([ratio.of_score(one) for one in probability.tolist()])
        told |= dict(zip(RATIOS, ratios.T, strict=True))
    if bundle.novelty is not None:
        means = [
            one[exists].mean(0, dtype=np.float64)
            for one, exists in zip(features, mask, strict=True)
        ]
        told["novelty"] = bundle.novelty.distance(np.asarray(means))
        for name in RATIOS:
            if name in told:
                told[name] = np.where(told["novelty"] > 1, np.nan, told[name])
    return told


def run(model: OnnxModel, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
    """What onnxruntime makes of these inputs.

    Raises:
        ToolError: it cannot run the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            model.content, options, providers=["CPUExecutionProvider"]
        )
        found = session.run(list(model.outputs), dict(inputs))
    except Exception as error:  # onnxruntime's own classes have no common base but this
        reason = " ".join(str(error).split())[:200]
        raise ToolError(f"onnxruntime cannot run the model ({reason}); use a later one") from error
    return dict(zip(model.outputs, found, strict=True))


def agreement(told: Outputs, found: Outputs) -> Agreement:
    """The largest differences of what both tell; of a ratio, where both tell one."""
    differences = {}
    for name, own in told.items():
        other = found[name].astype(np.float64)
        both = ~(np.isnan(own) | np.isnan(other))
        if both.any():
            differences[name] = float(np.abs(own - other)[both].max())
    return Agreement(sequences=len(found["probability_fake"]), differences=differences)
