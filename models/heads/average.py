"""The average of heads of several seeds, as one head (`head.average`).

Seeds differ in weights at the start, dropout and order of the videos; the mean of their logits
varies less than each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from models.configs import HeadConfig
from models.evaluation.likelihood_ratio import bounded_logits
from models.heads.inference import HeadNetwork, score
from models.heads.trained import Trained
from models.layers.average import average_chains
from models.linear.fit import measure

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences


def average_heads(fitted: Sequence[Trained], val: Sequences, *, head: HeadConfig) -> Trained:
    """The average of heads that were trained alike.

    Its history is the mean of theirs, as far as all of them have an epoch, and last a row of the
    average itself on validation, beside the mean of their own rows on training.

    Args:
        fitted: of one shape, with equal linear models where they correct one.
        val: the validation split, conditioned where the head conditions.
        head: the shape of the average.
    """
    networks = [HeadNetwork.of(one.model) for one in fitted]
    first = networks[0]
    network = replace(first, layers=average_chains([one.layers for one in networks]))
    seen = network if head.condition.kind == "none" else network.after_conditioning()
    val_loss, val_auc = measure(val.labels, bounded_logits(score(seen, val)))
    rows = [
        {name: float(np.mean([row[name] for row in each])) for name in each[0]} | {"epoch": epoch}
        for epoch, each in enumerate(zip(*(one.history for one in fitted), strict=False), 1)
    ]
    own = {name: float(np.mean([one.best[name] for one in fitted])) for name in ("loss", "auc")}
    last = {"epoch": len(rows) + 1, **own, "val_loss": val_loss, "val_auc": val_auc}
    aucs = [one.best["val_auc"] for one in fitted]
    return Trained(
        model=network,
        config=head,
        history=(*rows, last),
        best_epoch=len(rows) + 1,
        stop_reason=f"the average of {len(fitted)} seeds (validation AUC {val_auc:.3f}, of one "
        f"{min(aucs):.3f} to {max(aucs):.3f}); of the first seed: {fitted[0].stop_reason}",
        held_out=None if any(one.held_out is None for one in fitted) else fitted[0].held_out,
    )
