"""Clips of benchmarks/blend_network.py, and what their scores say; NumPy alone.

Both of its environments read this: unmask's, which prepares the clips, and PyTorch's, which trains.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FOLDS = 3
SEVERAL = 3
"""Clips that a program must have for the first of the means over programs."""
LIVE = "DeepFaceLive-DFM"

Scores = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A video, or a photograph."""

    path: str  # below the folder of faces, or of photographs
    label: Literal["real", "fake", "photo"]
    group: str  # clips that share a person
    method: str  # the program that made a fake
    original: str  # path of a fake's original, where it is there
    fold: int  # the one in which its people are held out; -1 for a photograph


def write_clips(path: Path, clips: Sequence[Clip]) -> None:
    """Writes clips as JSON."""
    path.write_text(json.dumps([asdict(one) for one in clips], indent=1) + "\n", encoding="utf-8")


def read_clips(path: Path) -> list[Clip]:
    """Reads them back."""
    return [Clip(**one) for one in json.loads(path.read_text(encoding="utf-8"))]


def assign_folds(groups: Sequence[str], *, folds: int = FOLDS, seed: int = 0) -> list[int]:
    """The fold of each clip: of one group in one fold, folds about equal in clips.

    Groups are taken from the largest to the smallest, equal ones in random order; each goes to the
    fold that has the fewest clips.
    """
    names = sorted(set(groups))
    sizes = {name: groups.count(name) for name in names}
    order = np.random.default_rng(seed).permutation(len(names)).tolist()
    filled = [0] * folds
    fold_of = {}
    for name in sorted((names[number] for number in order), key=lambda one: -sizes[one]):
        fold_of[name] = filled.index(min(filled))
        filled[fold_of[name]] += sizes[name]
    return [fold_of[name] for name in groups]


def area_under_curve(fakes: Scores, reals: Scores) -> float:
    """AUC of scores; NaN without fakes or without reals."""
    if not len(fakes) or not len(reals):
        return float("nan")
    higher, equal = fakes[:, None] > reals, fakes[:, None] == reals
    return float(higher.mean() + equal.mean() / 2)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What scores of tested clips say; NaN where there is nothing to say it of."""

    auc: float  # over all clips
    auc_several: float  # mean over programs with three clips or more
    auc_programs: float  # mean over all programs
    auc_live: float  # of DeepFaceLive
    pairs: float  # share of fakes that score above their originals


def summarise(clips: Sequence[Clip], scores: Scores, tested: NDArray[np.bool_]) -> Summary:
    """Each program's fakes against all tested real clips.

    Args:
        clips: C of them.
        scores: (C,), higher for fakes.
        tested: (C,), which count.
    """
    labels = np.asarray([one.label for one in clips])
    methods = np.asarray([one.method for one in clips])
    reals, fakes = scores[tested & (labels == "real")], tested & (labels == "fake")
    each = {
        method: scores[fakes & (methods == method)]
        for method in sorted(set(methods[fakes].tolist()))
    }
    aucs = {method: area_under_curve(found, reals) for method, found in each.items()}
    rows = {one.path: row for row, one in enumerate(clips) if tested[row]}
    wins = [
        scores[row] > scores[rows[clips[row].original]]
        for row in np.flatnonzero(fakes).tolist()
        if clips[row].original in rows
    ]
    several = [auc for method, auc in aucs.items() if len(each[method]) >= SEVERAL]
    return Summary(
        auc=area_under_curve(scores[fakes], reals),
        auc_several=mean(several),
        auc_programs=mean([*aucs.values()]),
        auc_live=aucs.get(LIVE, float("nan")),
        pairs=mean(wins),
    )


def mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Their mean; NaN if there are none, without NumPy's warning."""
    return float(np.mean(values)) if len(values) else float("nan")
