"""What linear models learn from the embeddings of networks that were trained on blends.

    python benchmarks/blend_linear.py MANIFEST FEATURES EMBEDDINGS.npz ... [--divisions 5]

MANIFEST and FEATURES are of ../shared/faces (docs/transfer.md has the commands) or those that
benchmarks/transfer.py leaves in its folder, EMBEDDINGS files that benchmarks/blend_network.py
wrote. Only files whose network learnt from photographs have seen none of the people. Parts, seeds,
weights (the mean difference within people) and columns are those of
benchmarks/transfer_backbones.py. A row is one linear model on the mean, or the deviation, of a
network's embeddings over a clip; one on its logit; or the average of one with the default.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.transfer_backbones import measure, plan
from benchmarks.transfer_backbones_tries import DEFAULT, Try
from benchmarks.transfer_data import TRUE
from benchmarks.transfer_embeddings import Clips
from benchmarks.transfer_tries import HEADINGS
from data.datasets.manifest import Manifest
from features.sequences.dataset import load_sequences
from features.store.feature_set import Features
from models.linear.statistics import clip_statistics

Floats = NDArray[np.float64]
Member = tuple[Floats, Floats]
"""Columns (N, E) of one linear model, and the factors (E,) of the standardised ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Members:
    """Stands in for `transfer_embeddings.Embeddings`: the linear models of one row."""

    chosen: list[Member]

    def members(self, _: Try) -> list[Member]:
        return self.chosen


def plain(columns: NDArray[np.floating]) -> Member:
    """Columns that weigh alike."""
    return columns.astype(np.float64), np.ones(columns.shape[1])


def read_embeddings(path: Path) -> dict[str, dict[str, NDArray[np.floating]]]:
    """Path of a clip -> its mean, deviation and logit."""
    with np.load(path, allow_pickle=False) as stored:
        columns = {
            "mean": stored["means"],
            "deviation": stored["deviations"],
            "logit": stored["logits"][:, None],
        }
        paths = stored["paths"].tolist()
    return {
        one: {name: values[row] for name, values in columns.items()}
        for row, one in enumerate(paths)
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("embeddings", type=Path, nargs="+")
    parser.add_argument("--divisions", type=int, default=5, help="of people and programs")
    arguments = parser.parse_args()
    stored = {path.stem: read_embeddings(path) for path in arguments.embeddings}
    features = Features(arguments.features)
    known = {
        video: path
        for video in Manifest.read(arguments.manifest).videos
        if video.sha256 in features
        and all((path := video.path.removeprefix(f"{TRUE}/")) in one for one in stored.values())
    }
    videos = [*known]
    sequences = load_sequences(features, videos)
    mask = np.asarray(sequences.mask)
    columns, _ = clip_statistics(
        np.asarray(sequences.features[:], np.float32), mask,
        statistics=("mean", "deviation"), frame_norm="layernorm_l2",
    )  # fmt: skip
    half = columns.shape[1] // 2
    shares = np.r_[np.full(half, DEFAULT.mean_share), np.ones(half)]
    default = (columns.astype(np.float64), shares)
    rows: dict[str, list[Member]] = {
        "the default": [default],
        "how much a face moves": [plain(np.log(columns[:, half:].mean(1, keepdims=True)))],
    }
    for name, clips in stored.items():
        for kind in ("mean", "deviation", "logit"):
            member = plain(np.stack([clips[known[one]][kind] for one in videos]))
            rows[f"{name}, {kind}"] = [member]
            if kind != "logit":
                rows[f"average: the default, {name}, {kind}"] = [default, member]
    compared = Clips(
        videos=videos,
        labels=np.asarray([one.label for one in videos]),
        groups=np.asarray([one.group for one in videos]),
        methods=np.asarray([one.method for one in videos]),
        masks={"spread": mask},
        boxes=np.zeros((len(videos), 0, 4)),  # no row reads boxes or crops
        work=Path(),
    )
    planned = [plan(compared, seed) for seed in range(arguments.divisions)]
    names = ("linear model on", *HEADINGS)
    print("| " + " | ".join(names) + " |\n|" + " --- |" * len(names))
    for name, members in rows.items():
        tried = Try(name=name, parts=())
        found, _ = measure(tried, compared, Members(chosen=members), planned)
        cells = [f"{one:.3f}" for one in (*found.mean(0), found[:, 3].std())]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
