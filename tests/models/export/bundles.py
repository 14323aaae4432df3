"""Bundles that were not trained, to be exported: weights of a trained one's size."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.applicability.novelty import EXPONENT, Novelty, transformed
from models.bundle import Bundle, BundledHead
from models.conditioning.linear_map import Conditioning
from models.evaluation.calibration import Calibration
from models.evaluation.likelihood_ratio import LikelihoodRatio
from models.heads.architectures import build_head
from models.heads.inference import HeadNetwork
from models.network_weights import THIN_DIGEST
from models.tf_runtime import seed_everything
from tests.models.conftest import SIZE, shaped

UNTRAINED: dict[str, Any] = {"history": (), "best_epoch": 1, "stop_reason": "not trained"}
TEMPERATURE = Calibration(method="temperature", temperature=1.7, unsure_low=0.4, unsure_high=0.6)
ISOTONIC = Calibration(
    method="isotonic", knots=((0.1, 0.0), (0.3, 0.2), (0.45, 0.2), (0.6, 0.7), (0.9, 1.0))
)


def made_up_ratio(draws: int = 200) -> LikelihoodRatio:
    """A likelihood ratio whose interval is sometimes beside 1 and sometimes includes it."""
    draw = np.random.default_rng(4)
    lines = zip(
        draw.normal(0.4, 0.05, draws),
        draw.normal(0.05, 0.2, draws),
        -draw.uniform(0.8, 1.2, draws),
        draw.uniform(0.8, 1.2, draws),
        strict=True,
    )
    return LikelihoodRatio(
        slope=0.4, intercept=0.05, lower=-1.2, upper=1.0, draws=tuple(lines), videos=40, groups=20,
        methods=3, cllr=0.7,
    )  # fmt: skip


def made_up_novelty(mean: Any, threshold: float, exponent: float = EXPONENT) -> Novelty:
    """Two known directions around a mean embedding, (D,)."""
    directions = np.zeros((2, len(mean)), np.float32)
    directions[0, 0] = directions[1, 1] = 1
    return Novelty(
        mean=transformed(mean, exponent).astype(np.float16).astype(np.float32),
        directions=directions,
        variances=(0.5, 0.1),
        rest=0.02,
        threshold=threshold,
        share=0.05,
        people=9,
        exponent=exponent,
    )


def head_of(
    shape: str, features: Any, *, condition: str = "none", ratio: bool = True, **head: Any
) -> BundledHead:
    """A head of one of `tests.models.conftest.SHAPES` for features like these, (F, D)."""
    seed_everything(3)
    draw = np.random.default_rng(1)
    dim = features.shape[1]
    kept = min(dim, 12)
    config = shaped(shape, units=7, condition={"kind": condition, "dimensions": kept},
                    statistics=("mean", "deviation", "steps"))  # fmt: skip
    first: dict[str, Any] = {"mean": features.mean(0), "variance": features.var(0) + 1e-3}
    if condition != "none":
        matrix = draw.standard_normal((dim, kept)).astype(np.float32)
        normal = condition == "layernorm_l2"  # its frames are of length 1
        mean = np.zeros(dim) if normal else features.mean(0)
        first = {
            "conditioning": Conditioning(
                kind=condition,
                mean=mean.astype(np.float32),
                matrix=matrix,
                spread=np.ones(kept, np.float32),
                explained=1.0,
            )
        }
    model = build_head(config, dim=dim, **first)
    for layer in model.layers:
        weights = layer.get_weights()
        if layer.name.endswith("statistics"):
            layer.set_weights([weights[0], np.full_like(weights[1], 0.5)])
        elif layer.name not in ("standardise", "input_noise"):
            scale = 0.3 / np.sqrt(max(1, dim / 24))
            layer.set_weights([one + draw.normal(0, scale, one.shape) for one in weights])
    found: dict[str, Any] = {"threshold": 0.5, "calibration": TEMPERATURE, **UNTRAINED} | head
    if ratio:
        found["likelihood_ratio"] = made_up_ratio()
    return BundledHead(model=HeadNetwork.of(model), config=config, **found)


def bundle_of(head: BundledHead, dim: int, **more: Any) -> Bundle:
    """A bundle of resnet50-thin, or of what `more` says."""
    recipe = {
        "backbone": "resnet50-thin",
        "backbone_digest": THIN_DIGEST,
        "frames": {"size": SIZE, "count": 8},
        "dtype": "float16",
    }
    facts: dict[str, Any] = {"recipe": recipe, "provenance": {}, "backbone": "resnet50-thin"}
    trained_on = {"train": {"sha256s": ["a"], "groups": ["g"]}, "val": {}}
    return Bundle(head=head, baseline=None, dim=dim, trained_on=trained_on, **(facts | more))
