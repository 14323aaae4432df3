"""Which of two clips of one scene is the forged one: the difference of a head's log-odds.

Camera, place and person are alike in both, and cancel. A head that was fitted to differences within
scenes or people (`train.loss`) learnt just this comparison.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.heads.inference import HeadNetwork
from models.heads.trained import Trained


def pair_score(
    bundle_head: Trained,
    features_a: NDArray[np.floating],
    mask_a: NDArray[np.bool_],
    features_b: NDArray[np.floating],
    mask_b: NDArray[np.bool_],
) -> float:
    """The natural log-odds that A is the forged one, uncalibrated.

    Antisymmetric to the last bit: exchanging A and B changes the sign alone. Each clip is scored by
    itself, so the two may have different numbers of frames.

    Args:
        bundle_head: a trained head, as `Bundle.head` is.
        features_a: (T, D) embeddings of A, any real dtype.
        mask_a: (T,) which of them exist.
        features_b: (U, D) of B.
        mask_b: (U,).
    """
    network = HeadNetwork.of(bundle_head.model)
    one, other = (
        float(network.logits({"features": features[None], "mask": mask[None]})[0])
        for features, mask in ((features_a, mask_a), (features_b, mask_b))
    )
    return one - other
