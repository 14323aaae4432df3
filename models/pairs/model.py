"""A fitted comparison of two versions of one face, as `unmask fit-pairs` writes it into a bundle.

A clip's description is a vector: traces of its pixels, and its embeddings' mean and unsteadiness.
The score is linear in the difference of two descriptions and has no constant, so that swapping the
two turns its sign and nothing else; so does its log10 likelihood ratio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from data.errors import StoreError
from data.io.atomic_files import as_json, write_text
from data.io.atomic_folders import read_versioned_json
from data.io.reading import BAD_FACTS
from models.evaluation.likelihood_ratio import LikelihoodRatio

FILE = "pairs.json"
FORMAT = "unmask-pairs"
VERSION = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class PairModel:
    """Weights of a description's F values, and what scores mean."""

    traces: tuple[str, ...]  # names of the first values, of the pixels; embeddings follow
    scales: NDArray[np.float64]  # (F,) by which differences are divided
    weights: NDArray[np.float64]  # (F,)
    # of the score as a logit, "A is forged" against "B is forged"; without constant
    ratio: LikelihoodRatio
    right: float  # share of held-out pairs that were ordered rightly
    backbone_digest: str  # of the embeddings
    methods: tuple[str, ...]  # forgery methods of the pairs
    sha256s: tuple[str, ...]  # of all videos of the pairs

    def score(self, one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
        """Log-odds, before calibration, that the first is the forged one of two (F,)."""
        return float(self.weights @ ((one - two) / self.scales))

    def log10_lr(self, score: float) -> tuple[float, float, float]:
        """log10 of the likelihood ratio that is told of a score, and both ends of its interval."""
        value, low, high = self.ratio.of_score(float(expit(abs(score))))
        return (value, low, high) if score >= 0 else (0.0 - value, 0.0 - high, 0.0 - low)

    @property
    def origin(self) -> str:
        """What the ratio was measured on, a sentence."""
        known = self.ratio
        held = " and forgery methods" if known.methods > 1 else ""
        return (
            f"Measured on {known.videos} pairs of {known.groups} groups by models that saw none of "
            f"these people{held}; {self.right:.0%} of them were ordered rightly."
        )

    def save(self, folder: Path) -> Path:
        """Writes it into a bundle's folder; returns the file.

        Raises:
            OutputError: it cannot be written.
        """
        path = folder / FILE
        facts = {
            "format": FORMAT,
            "version": VERSION,
            "traces": list(self.traces),
            "scales": self.scales.tolist(),
            "weights": self.weights.tolist(),
            "ratio": self.ratio.to_json(),
            "right": self.right,
            "backbone_digest": self.backbone_digest,
            "methods": list(self.methods),
            "sha256s": list(self.sha256s),
        }
        write_text(path, as_json(facts))
        return path

    @classmethod
    def load(
        cls, folder: Path, *, traces: tuple[str, ...], backbone_digest: str
    ) -> PairModel | None:
        """Reads a bundle's; None where it has none.

        Args:
            folder: of the bundle.
            traces: the names that this unmask measures.
            backbone_digest: of the bundle.

        Raises:
            StoreError: it is damaged, or does not belong to this bundle or this unmask.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        facts = read_versioned_json(path, FORMAT, VERSION)
        try:
            read = cls._of(facts)
        except BAD_FACTS as error:
            raise StoreError(f"{path} is damaged ({error}); run fit-pairs again") from error
        if read.traces != traces or read.backbone_digest != backbone_digest:
            raise StoreError(
                f"{path} was fitted to another backbone or by another unmask; run fit-pairs again"
            )
        return read

    @classmethod
    def _of(cls, facts: Mapping[str, Any]) -> PairModel:
        scales, weights = (np.asarray(facts[name], np.float64) for name in ("scales", "weights"))
        if scales.ndim != 1 or scales.shape != weights.shape or len(scales) > 100_000:
            raise ValueError("scales and weights do not fit each other")
        if not (np.isfinite(scales).all() and np.isfinite(weights).all() and (scales > 0).all()):
            raise ValueError("a scale or a weight is no number")
        return cls(
            traces=tuple(str(one) for one in facts["traces"]),
            scales=scales,
            weights=weights,
            ratio=LikelihoodRatio.from_json(facts["ratio"]),
            right=float(facts["right"]),
            backbone_digest=str(facts["backbone_digest"]),
            methods=tuple(str(one) for one in facts["methods"]),
            sha256s=tuple(str(one) for one in facts["sha256s"]),
        )
